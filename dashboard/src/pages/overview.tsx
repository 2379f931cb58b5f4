// Is it well? How much is left, and what gives out first? What has changed?
import type { PageProps } from '../main'
import { Chart } from '../chart'
import { amount, ms, number, percent, short, span } from '../format'
import { type Now, useNow } from '../live'
import { Badge, Card, Meter, Table, Tile, Tiles } from '../parts'

function verdict(now: Now) {
  const ill = now.health.filter((each) => each.state !== 'ok')
  if (!now.ready) return { state: 'bad', text: now.stage === 'draining' ? 'Draining: it takes no new work and ends what is open.' : `Not ready: ${ill.map((each) => `${each.component}: ${each.reason}`).join('; ') || now.stage}.` }
  if (ill.length) return { state: 'warn', text: `Serving, but ${ill.map((each) => `${each.component} is ${each.state} (${each.reason})`).join('; ')}.` }
  return { state: 'good', text: `Serving for ${span(now.uptime_seconds)}; every component is well.` }
}

// The share of the tightest limit that is left, in words.
function left(now: Now) {
  const first = now.ceilings[0]
  if (!first) return { value: '–', text: 'No limited resource is known yet.', state: '' }
  const free = Math.max(0, 1 - first.ratio) * 100
  return { value: percent(free, 0), state: free < 10 ? 'bad' : free < 30 ? 'warn' : 'good', text: `First to give out: ${first.name}, ${amount(first.name, first.used)} of ${amount(first.name, first.limit)} in use. ${first.ratio >= 0.7 ? first.advice : ''}` }
}

function latency(now: Now): string {
  const slowest = [...(now.last_minute?.routes ?? [])].sort((a, b) => b.latency_ms.p99 - a.latency_ms.p99)[0]
  return slowest ? `slowest route: ${slowest.route || 'default'}, p99 ${ms(slowest.latency_ms.p99)}` : 'no requests in the last minute'
}

export function Overview(props: PageProps) {
  const now = useNow()
  if (!now) return <p class="note">Waiting for the first figures…</p>
  const well = verdict(now)
  const room = left(now)
  const minute = now.last_minute
  return (
    <>
      <p class={`verdict ${well.state}`} role="status">{well.text}</p>
      <Tiles>
        <Tile label="Headroom left" value={room.value} note={room.text} state={room.state} />
        <Tile label="Requests, last minute" value={`${short(minute?.requests.per_second)} /s`} note={`${number(now.requests.in_flight)} in flight, ${number(now.connections)} connections`} />
        <Tile label="p99" value={ms(minute?.requests.latency_ms.p99)} note={latency(now)} />
        <Tile label="Errors" value={percent(minute?.requests.error_rate, 2)} note={`${number(minute?.requests.errors)} of ${number(minute?.requests.total)} requests`} state={(minute?.requests.error_rate ?? 0) > 5 ? 'bad' : (minute?.requests.error_rate ?? 0) > 1 ? 'warn' : ''} />
        <Tile label="Cache hits" value={percent(minute?.cache.hit_rate)} note={minute?.cache.lookups ? `of ${number(minute.cache.lookups)} look-ups` : 'no look-ups in the last minute'} />
      </Tiles>
      <div class="grid">
        <Card title="Requests per second">
          <Chart label="Requests and errors per second" range={props.range} show={short} lines={[{ label: 'requests', metric: 'headroom_edge_all_requests_total', figure: 'rate' }, { label: 'errors', metric: 'headroom_edge_all_errors_total', figure: 'rate' }]} />
        </Card>
        <Card title="Response times">
          <Chart label="Response times" range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_edge_request_seconds', figure, scale: 1000 }))} />
        </Card>
        <Card title="What gives out first" note="Each limited resource against its limit, the fullest first.">
          {now.ceilings.map((each) => <Meter key={each.name} label={each.name} ratio={each.ratio} text={`${amount(each.name, each.used)} of ${amount(each.name, each.limit)}`} note={each.advice} />)}
        </Card>
        <Card title="Objectives" note="The last minute against the targets of the systems Headroom grew from.">
          <Table label="Objectives" rows={now.targets} columns={[
            { head: 'Objective', cell: (row) => row.name }, { head: 'Below', number: true, cell: (row) => `${number(row.objective)} ${row.unit}` },
            { head: 'Now', number: true, cell: (row) => (row.value === null ? '–' : `${number(row.value, 2)} ${row.unit}`) },
            { head: 'Met', cell: (row) => (row.met === null ? <span class="note">nothing measured</span> : <Badge state={row.met ? 'met' : 'missed'} />) }]} />
        </Card>
        <Card title="Components">
          <Table label="Components" rows={now.health} columns={[{ head: 'Component', cell: (row) => row.component }, { head: 'State', cell: (row) => <Badge state={row.state} /> }, { head: 'Why', cell: (row) => row.reason }]} />
        </Card>
        <Card title="What changed" note="The newest lines of the log.">
          <Table label="Changes" rows={now.changes} none="Nothing since the start." columns={[{ head: 'When', cell: (row) => new Date(row.time).toLocaleTimeString('en-GB') }, { head: 'What', cell: (row) => row.text }]} />
        </Card>
      </div>
    </>
  )
}
