import type { PageProps } from '../main'
import { get, may, post } from '../api'
import { Chart } from '../chart'
import { bytes, ms, number, percent, short } from '../format'
import { useNow, usePoll } from '../live'
import { Act, Badge, Card, needs, Problem, Table } from '../parts'

interface Quantiles { mean: number; p50: number; p90: number; p95: number; p99: number }
interface Route { name: string; requests: number; error_rate: number; bytes_in: number; bytes_out: number; in_flight: number; latency_ms: { queue: Quantiles; connect: Quantiles; first_byte: Quantiles; total: Quantiles } }
interface Server { address: string; state: string; reason: string; weight: number; in_flight: number; idle: number; requests: number; failures: number; latency_ms: Quantiles }
interface Group { name: string; in_flight: number; in_flight_limit: number; queued: number; servers: Server[] }

// Where the time of a route's slow requests goes, in one sentence.
function phases(route: Route): string {
  const { queue, connect, first_byte, total } = route.latency_ms
  if (route.requests === 0 || total.p99 <= 0) return 'no requests yet'
  if (total.p99 < 2) return 'p99 is below 2 ms: nothing to gain here'
  const share = (part: number) => (100 * part) / total.p99
  if (share(queue.p99) > 50) return `p99 is ${number(Math.min(100, share(queue.p99)))} % waiting for a free server: add servers, or raise its connections`
  if (share(connect.p99) > 50) return `p99 is ${number(Math.min(100, share(connect.p99)))} % connecting: raise keep_alive of the group`
  if (share(first_byte.p99) > 50) return `p99 is ${number(Math.min(100, share(first_byte.p99)))} % the app's own time to its first byte`
  return 'p99 is mostly sending the body: the client or the size'
}
const time = (route: Route, figure: 'p50' | 'p95' | 'p99') => (route.requests ? ms(route.latency_ms.total[figure]) : '–')

export function Traffic(props: PageProps) {
  const now = useNow()
  const routes = usePoll(() => get<{ routes: Route[] }>('/api/v1/routes'), [])
  const groups = usePoll(() => get<{ groups: Group[] }>('/api/v1/upstreams'), [])
  const operator = may(props.who, 'operator')
  const sorted = [...(routes.value?.routes ?? [])].sort((a, b) => b.requests - a.requests)
  return (
    <>
      <Problem text={routes.error || groups.error} />
      {now?.explanations && <p class="note">{now.explanations.latency} {now.explanations.errors}</p>}
      <div class="grid">
        <Card title="Requests by status"><Chart label="Requests per second by class of status" marks range={props.range} show={short} by="class" lines={[{ label: 'requests', metric: 'headroom_edge_requests_total', figure: 'rate' }]} /></Card>
        <Card title="p99 by route"><Chart label="p99 by route" marks range={props.range} show={ms} by="route" lines={[{ label: 'p99', metric: 'headroom_edge_request_seconds', figure: 'p99', scale: 1000 }]} /></Card>
        <Card title="Phases, p95" note="Waiting for a free server, connecting to it, its first byte; and all together."><Chart label="Phases of a request, p95" range={props.range} show={ms} lines={[['queue', 'headroom_edge_queue_seconds'], ['connect', 'headroom_edge_connect_seconds'], ['first byte', 'headroom_edge_first_byte_seconds'], ['total', 'headroom_edge_request_seconds']].map(([label, metric]) => ({ label, metric, figure: 'p95', scale: 1000 }))} /></Card>
        <Card title="Bodies" note="Bytes a second."><Chart label="Bytes of bodies per second" range={props.range} show={bytes} lines={[{ label: 'to clients', metric: 'headroom_edge_response_body_bytes_total', figure: 'rate' }, { label: 'from clients', metric: 'headroom_edge_request_body_bytes_total', figure: 'rate' }]} /></Card>
      </div>
      {(groups.value?.groups ?? []).map((group) => (
        <Card key={group.name} title={`Servers of ${group.name}`} wide note={`${number(group.in_flight)} of ${number(group.in_flight_limit)} requests in flight (the limit is learnt), ${number(group.queued)} waiting. A drained server gets no new requests and ends what it has.`}>
          <Table label={`Servers of ${group.name}`} rows={group.servers} id={(row) => row.address} columns={[
            { head: 'Server', cell: (row) => row.address }, { head: 'State', cell: (row) => <><Badge state={row.state} /> {row.reason}</> }, { head: 'Weight', number: true, cell: (row) => row.weight },
            { head: 'In flight', number: true, cell: (row) => number(row.in_flight) }, { head: 'Requests', number: true, cell: (row) => number(row.requests) }, { head: 'Failures', number: true, cell: (row) => number(row.failures) },
            { head: 'p99', number: true, cell: (row) => (row.requests ? ms(row.latency_ms.p99) : '–') },
            { head: 'Act', cell: (row) => {
              const verb = row.state === 'draining' ? 'undrain' : 'drain'
              return <Act label={verb === 'drain' ? 'Drain' : 'Undrain'} disabled={!operator} why={needs('operator')} ask={verb === 'drain' ? `Give ${row.address} no new requests?` : undefined}
                act={() => post(`/api/v1/upstreams/${verb}`, { group: group.name, server: row.address })} done={groups.again} />
            } }]} />
        </Card>
      ))}
      <Card title="Routes" wide note="Since the start, the most used first.">
        <Table label="Routes" rows={sorted} id={(row) => row.name} columns={[
          { head: 'Route', cell: (row) => row.name }, { head: 'Requests', number: true, cell: (row) => number(row.requests) }, { head: 'In flight', number: true, cell: (row) => number(row.in_flight) },
          { head: 'p50', number: true, cell: (row) => time(row, 'p50') }, { head: 'p95', number: true, cell: (row) => time(row, 'p95') }, { head: 'p99', number: true, cell: (row) => time(row, 'p99') },
          { head: 'Failed', number: true, cell: (row) => (row.requests ? percent(row.error_rate, 2) : '–') }, { head: 'Sent', number: true, cell: (row) => bytes(row.bytes_out) },
          { head: 'Where the time goes', words: true, cell: (row) => phases(row) }]} />
      </Card>
    </>
  )
}
