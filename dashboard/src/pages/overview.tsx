// Is it well? How much is left, and what gives out first? What has changed?
import type { PageProps } from '../main'
import { Chart } from '../chart'
import { amount, count, ms, number, percent, short, span, when } from '../format'
import { type Now, useNow } from '../live'
import { Badge, Card, Meter, Table, Tile, Tiles } from '../parts'

function verdict(now: Now) {
  const ill = now.health.filter((each) => each.state !== 'ok')
  if (!now.ready) return { state: 'bad', text: now.stage === 'draining' ? 'Draining: it takes no new work and ends what is open.' : `Not ready: ${ill.map((each) => `${each.component}: ${each.reason}`).join('; ') || now.stage}.` }
  if (ill.length) return { state: 'warn', text: `Serving, but ${ill.map((each) => `${each.component} is ${each.state} (${each.reason})`).join('; ')}.` }
  const firing = (now.alerts?.list ?? []).filter((each) => each.state === 'firing' && !each.silenced_until && !each.muted_by)
  if (firing.length) return { state: firing.some((each) => each.severity === 'critical') ? 'bad' : 'warn', text: `Serving for ${span(now.uptime_seconds)}; ${count(firing.length, 'alert fires', 'alerts fire')}: ${firing.map((each) => each.summary.replace(/\.$/, '')).join('; ')}.` }
  return { state: 'good', text: `Serving for ${span(now.uptime_seconds)}; every component is well.` }
}

// The share of the tightest limit that is left, in words.
function left(now: Now) {
  const first = now.ceilings[0]
  if (!first) return { value: '–', text: 'No limited resource is known yet.', state: '' }
  const free = Math.max(0, 1 - first.ratio) * 100
  return { value: percent(free, 0), state: free < 10 ? 'bad' : free < 30 ? 'warn' : 'good', text: `First to give out: ${first.name}, ${amount(first.name, first.used)} of ${amount(first.name, first.limit)} in use${soon(first.full_in_seconds)}. ${first.ratio >= 0.7 ? first.advice : ''}` }
}
const soon = (seconds: number | null | undefined) => (seconds ? `, full in ${span(seconds)} at the pace of the last ten minutes` : '')

export function Overview(props: PageProps) {
  const now = useNow()
  if (!now) return <p class="note">Waiting for the first figures…</p>
  const well = verdict(now)
  const room = left(now)
  const minute = now.last_minute
  const asked = !!minute?.requests.total // without requests there is no time and no share of errors
  const why = now.explanations
  const targets = now.objectives ?? []
  return (
    <>
      <p class={`verdict ${well.state}`} role="status">{well.text}</p>
      <Tiles>
        <Tile label="Headroom left" value={room.value} note={room.text} state={room.state} />
        <Tile label="Requests, last minute" value={`${short(minute?.requests.per_second)} /s`} note={`${number(minute?.requests.total)} requests; ${number(now.requests.in_flight)} in flight, ${count(now.connections, 'connection')}`} />
        <Tile label="p99, last minute" value={asked ? ms(minute?.requests.latency_ms.p99) : '–'} note={why?.latency} />
        <Tile label="Errors, last minute" value={asked ? percent(minute?.requests.error_rate, 2) : '–'} note={why?.errors} state={(minute?.requests.error_rate ?? 0) > 5 ? 'bad' : (minute?.requests.error_rate ?? 0) > 1 ? 'warn' : ''} />
        <Tile label="Cache hits, last minute" value={percent(minute?.cache.hit_rate)} note={why?.cache} />
      </Tiles>
      <div class="grid">
        <Card title="Requests per second">
          <Chart label="Requests and errors per second" marks range={props.range} show={short} lines={[{ label: 'requests', metric: 'headroom_edge_all_requests_total', figure: 'rate' }, { label: 'errors', metric: 'headroom_edge_all_errors_total', figure: 'rate' }]} />
        </Card>
        <Card title="Response times">
          <Chart label="Response times" marks range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_edge_request_seconds', figure, scale: 1000 }))} />
        </Card>
        <Card title="What gives out first" note="Each limited resource against its limit, the fullest first.">
          {now.ceilings.map((each) => <Meter key={each.name} label={each.name} ratio={each.ratio} text={`${amount(each.name, each.used)} of ${amount(each.name, each.limit)}${soon(each.full_in_seconds)}`} note={each.advice} />)}
        </Card>
        <Card title="Use of the limits" note="The same over time, in percent of each limit.">
          <Chart label="Use of each limited resource" marks range={props.range} show={percent} by="kind,resource" lines={[{ label: 'use', metric: 'headroom_monitor_ceiling_ratio', figure: 'mean', scale: 100 }]} />
        </Card>
        <Card title="What changed" note="Settings, servers, and who did what; the dashed lines in the plots are these.">
          <Table label="Changes" rows={now.changes.slice(0, 15)} none="Nothing since the start." columns={[{ head: 'When', cell: (row) => <span class="nowrap">{when(row.time)}</span> }, { head: 'About', cell: (row) => <Badge state={row.kind} /> }, { head: 'What', words: true, cell: (row) => row.text }]} />
        </Card>
        <Card title="Objectives" note="What the systems that Headroom grew from asked of themselves.">
          <Table label="Objectives" rows={targets} columns={[
            { head: 'Objective', cell: (row) => <>{row.name}{row.routes?.length ? <span class="note"> {row.routes.join(', ')}</span> : null}</> }, { head: 'Below', number: true, cell: (row) => `${number(row.objective)} ${row.unit}` },
            { head: 'Now', number: true, cell: (row) => (row.value === null ? '–' : `${number(row.value, 2)} ${row.unit}`) },
            { head: 'Met', cell: (row) => (row.met === null ? <span class="note">nothing measured</span> : <Badge state={row.met ? 'met' : 'missed'} />) }]} />
        </Card>
        <Card title="Components">
          <Table label="Components" rows={now.health} columns={[{ head: 'Component', cell: (row) => row.component }, { head: 'State', cell: (row) => <Badge state={row.state} /> }, { head: 'Why', words: true, cell: (row) => row.reason }]} />
        </Card>
      </div>
    </>
  )
}
