import type { PageProps } from '../main'
import { Chart } from '../chart'
import { amount, bytes, percent, short } from '../format'
import { useNow } from '../live'
import { Card, Meter } from '../parts'

const machine = ['processors', 'memory', 'disk', 'descriptors']

export function System(props: PageProps) {
  const now = useNow()
  const own = 'headroom_monitor_'
  return (
    <>
      <Card title="In use" wide note="Against the limit in force: the control group's where it is tighter than the machine's.">
        {now?.ceilings.filter((each) => machine.includes(each.name)).map((each) => <Meter key={each.name} label={each.name} ratio={each.ratio} note={each.advice} text={`${amount(each.name, each.used)} of ${amount(each.name, each.limit)}`} />)}
      </Card>
      <div class="grid">
        <Card title="Processors"><Chart label="Processor time used" range={props.range} show={percent} lines={[{ label: 'machine', metric: `${own}system_cpu_ratio`, figure: 'mean', scale: 100 }, { label: 'throttled', metric: `${own}system_throttled_seconds_total`, figure: 'rate', scale: 100 }, { label: 'stolen', metric: `${own}system_steal_seconds_total`, figure: 'rate', scale: 100 }]} /></Card>
        <Card title="Pressure" note="Share of time in which something waited."><Chart label="Pressure" range={props.range} show={percent} lines={['cpu', 'memory', 'io'].map((each) => ({ label: each, metric: `${own}system_pressure_ratio`, figure: 'mean', where: `resource:${each},who:some`, scale: 100 }))} /></Card>
        <Card title="Memory"><Chart label="Memory" range={props.range} show={bytes} lines={[{ label: 'in use', metric: `${own}system_memory_bytes`, figure: 'mean' }, { label: 'this process', metric: `${own}process_resident_bytes`, figure: 'mean' }]} /></Card>
        <Card title="Network"><Chart label="Network" range={props.range} show={bytes} lines={[{ label: 'received /s', metric: `${own}system_received_bytes_total`, figure: 'rate' }, { label: 'sent /s', metric: `${own}system_sent_bytes_total`, figure: 'rate' }]} /></Card>
        <Card title="This process"><Chart label="Processor seconds a second" range={props.range} show={short} lines={[{ label: 'processors', metric: `${own}process_cpu_seconds_total`, figure: 'rate' }]} /></Card>
        <Card title="Descriptors"><Chart label="File descriptors" range={props.range} show={short} lines={[{ label: 'open', metric: `${own}process_open_descriptors`, figure: 'max' }]} /></Card>
        <Card title="Lost connections" note="An accept queue that is full loses connections."><Chart label="Lost and sent again" range={props.range} show={short} lines={[{ label: 'accept overflows /s', metric: `${own}system_listen_overflows_total`, figure: 'rate' }, { label: 'retransmits /s', metric: `${own}system_retransmits_total`, figure: 'rate' }]} /></Card>
        <Card title="Trends kept"><Chart label="Size of the file of trends" range={props.range} show={bytes} lines={[{ label: 'bytes', metric: `${own}trend_bytes`, figure: 'max' }]} /></Card>
      </div>
    </>
  )
}
