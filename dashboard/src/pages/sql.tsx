import type { PageProps } from '../main'
import type { Who } from '../api'
import { useState } from 'preact/hooks'
import { get, may, post, Refused } from '../api'
import { Chart } from '../chart'
import { bytes, count, ms, number, percent, short, span, when } from '../format'
import { useNow, usePoll } from '../live'
import { Act, Badge, Card, Meter, needs, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Pool { database: string; user: string; server: string; paused: boolean; open: number; idle: number; limit: number; use_percent: number; peak_use_percent?: number; waiting: number; longest_wait_ms: number; waits: number; timeouts: number; failures: number; last_error: string; queries: number; transactions: number; errors: number; p95_ms: number
  status?: string; response_time_ms?: number | null; warnings?: { level: string; what: string; value: number; limit: number }[]; events?: { at: string; what: string; detail: string }[] }
interface Query { id?: string; query: string; database: string; user: string; calls: number; errors: number; total_ms: number; mean_ms: number; p95_ms: number; p99_ms?: number; max_ms: number; rows?: number; wait_ms?: number; cache_hits?: number; replica_percent?: number; explainable?: boolean }
interface Server { database: string; server: string; role: string; usable: boolean; lag_seconds: number; lag_bytes: number; timeline: number; reads: number; busy: number; error: string }
interface Replication { status: string; primary?: Server[]; replicas: Server[] | null }
interface Results { status: string; current: boolean; reason: string; hits: number; misses: number; fills: number; drops: number; entries: number; bytes: number; limit_bytes: number; stream_lag_ms: number | null; bypassed_s: number
  refused: { reason: string; count: number }[]; queries: { database: string; query: string; state: string; hits: number; misses: number; reason: string }[] }
interface Pin { database: string; user: string; client: number | string; server: number | string; reason: string; for_s: number }

// What a newer server has, and an older one has not.
const absent = (problem: unknown) => { if (problem instanceof Refused && problem.status === 404) return null; throw problem }

// Whether the pool is large enough, in one sentence.
function advice(pool: Pool): string {
  if (pool.last_error && pool.open === 0) return `no connection: ${pool.last_error}`
  if (pool.waiting > 0) return `${count(pool.waiting, 'client')} wait, the longest ${ms(pool.longest_wait_ms)}: all ${number(pool.limit)} connections are busy; raise sql.pool_size by ${number(pool.waiting)}, or shorten transactions`
  if (pool.use_percent > 80) return 'nearly full: the next burst will wait'
  return pool.timeouts > 0 ? `${count(pool.timeouts, 'wait')} have ended without a connection since the start` : 'nobody waits'
}

interface Node { [name: string]: unknown; Plans?: Node[] }
// A plan as PostgreSQL's own text has it: a line a node, deeper ones further in.
function lines(node: Node, depth = 0): string[] {
  const on = node['Relation Name'] ?? node['Index Name'] ?? node['CTE Name']
  const also = ['Index Cond', 'Filter', 'Hash Cond', 'Join Filter', 'Sort Key'].filter((name) => node[name]).map((name) => `${'  '.repeat(depth + 2)}${name}: ${node[name]}`)
  const head = `${'  '.repeat(depth)}${depth ? '-> ' : ''}${node['Node Type']}${node['Index Name'] && node['Relation Name'] ? ` using ${node['Index Name']}` : ''}${on ? ` on ${node['Relation Name'] ?? on}` : ''}  (cost ${node['Startup Cost']}..${node['Total Cost']}, ${number(node['Plan Rows'] as number)} rows)`
  return [head, ...also, ...(node.Plans ?? []).flatMap((each) => lines(each, depth + 1))]
}
function planText(answer: { plan: unknown }): string {
  const first = Array.isArray(answer.plan) ? (answer.plan[0] as { Plan?: Node }) : null
  return first?.Plan ? lines(first.Plan).join('\n') : typeof answer.plan === 'string' ? answer.plan : JSON.stringify(answer.plan, null, 2)
}

function Slow(props: { who: Who }) {
  const [by, order] = useState('mean')
  const [plan, show] = useState<{ id: string; text: string; generic: boolean } | null>(null)
  const slow = usePoll(() => get<{ slow_queries: Query[] | null }>(`/api/v1/database/slow-queries?limit=20&by=${by}`), [by], 5)
  const admin = may(props.who, 'admin')
  const rows = slow.value?.slow_queries ?? []
  const has = (name: keyof Query) => rows.some((row) => row[name] !== undefined)
  const explain = async (row: Query) => {
    const got = await post<{ plan: unknown; generic: boolean }>(`/api/v1/database/slow-queries/${row.id}/explain`)
    show({ id: row.id ?? '', text: planText(got), generic: got.generic })
  }
  return (
    <Card title="Slow queries" wide note="By shape, literals blanked. A plan is PostgreSQL's EXPLAIN, which runs nothing." actions={<label>By <select value={by} onChange={(event) => order((event.target as HTMLSelectElement).value)}>
      {[['mean', 'mean time'], ['total', 'time in all'], ['calls', 'calls']].map(([value, text]) => <option value={value}>{text}</option>)}</select></label>}>
      <Problem text={slow.error} />
      <Table label="Slow queries" rows={rows} id={(row) => row.id ?? row.query} none="None measured yet." columns={[
        { head: 'Query', words: true, cell: (row) => <><code class="query">{row.query}</code>{plan && plan.id === row.id && <><pre tabIndex={0} aria-label="Plan">{plan.text}</pre>{plan.generic && <p class="note">A generic plan: values for its parameters are not known.</p>}</>}</> },
        { head: 'Calls', number: true, cell: (row) => number(row.calls) }, { head: 'Mean', number: true, cell: (row) => ms(row.mean_ms) }, { head: 'p95', number: true, cell: (row) => ms(row.p95_ms) },
        { head: 'Longest', number: true, cell: (row) => ms(row.max_ms) }, { head: 'In all', number: true, cell: (row) => ms(row.total_ms) },
        ...(has('rows') ? [{ head: 'Rows', number: true, cell: (row: Query) => short(row.rows) }] : []), ...(has('wait_ms') ? [{ head: 'Waited', number: true, cell: (row: Query) => ms(row.wait_ms) }] : []),
        ...(has('replica_percent') ? [{ head: 'On replicas', number: true, cell: (row: Query) => percent(row.replica_percent, 0) }] : []), ...(has('cache_hits') ? [{ head: 'From cache', number: true, cell: (row: Query) => number(row.cache_hits) }] : []),
        ...(has('id') ? [{ head: 'Act', cell: (row: Query) => (row.explainable === false ? '' : plan && plan.id === row.id ? <button onClick={() => show(null)}>Hide</button> : <Act label="Plan" disabled={!admin} why={needs('admin')} act={() => explain(row)} />) }] : [])]} />
    </Card>
  )
}

function Cached(props: { results: Results | null }) {
  const all = props.results
  if (!all || all.status === 'not_configured') return null
  if (all.status === 'off') return <Card title="Result cache" wide><p>Off. <code>[sql.cache] auto = true</code> keeps results of reads and drops them when a table they read is written.</p></Card>
  return (
    <Card title="Result cache" wide note={all.current ? 'Current: every committed change has been heard of.' : `Passed by: ${all.reason}`}>
      <Tiles>
        <Tile label="Hits" value={percent(all.hits + all.misses ? (100 * all.hits) / (all.hits + all.misses) : null)} note={`${number(all.hits)} of ${number(all.hits + all.misses)} look-ups asked no database`} />
        <Tile label="Results kept" value={number(all.entries)} note={`${bytes(all.bytes)} of ${bytes(all.limit_bytes)}; ${number(all.drops)} dropped by writes`} />
        <Tile label="Behind the log" value={ms(all.stream_lag_ms)} note={`passed by for ${span(all.bypassed_s)} since the start`} />
      </Tiles>
      <div class="grid">
        <Table label="Refusals" rows={all.refused} none="Nothing was refused." columns={[{ head: 'Not kept because', words: true, cell: (row) => row.reason }, { head: 'Times', number: true, cell: (row) => number(row.count) }]} />
        <Table label="Cached queries" rows={all.queries.slice(0, 20)} none="No query was looked up yet." columns={[{ head: 'Query', words: true, cell: (row) => <><code class="query">{row.query}</code>{row.reason && <p class="note">{row.reason}</p>}</> }, { head: 'State', cell: (row) => <Badge state={row.state}>{row.state.replace('_', ' ')}</Badge> }, { head: 'Hits', number: true, cell: (row) => number(row.hits) }, { head: 'Misses', number: true, cell: (row) => number(row.misses) }]} />
      </div>
    </Card>
  )
}

export function Sql(props: PageProps) {
  const now = useNow()
  const pools = usePoll(() => get<{ status: string; pools: Pool[] | null }>('/api/v1/sql/pools'), [])
  const replicas = usePoll(() => get<Replication>('/api/v1/scaling/replication/status'), [])
  const results = usePoll(() => get<Results>('/api/v1/sql/cache').catch(absent), [])
  const pins = usePoll(() => get<{ pins: Pin[] | null }>('/api/v1/sql/pins').catch(absent), [], 5)
  if (pools.value?.status === 'not_configured') return <NotConfigured what="SQL" how="Give it a server: --postgres URL." />
  const rows = pools.value?.pools ?? []
  const servers = [...(replicas.value?.primary ?? []), ...(replicas.value?.replicas ?? [])]
  return (
    <>
      <Problem text={pools.error || replicas.error || results.error || pins.error} />
      {now?.explanations && <p class="note">{now.explanations.database}</p>}
      <div class="grid">
        <Card title="Queries"><Chart label="Queries and errors per second" marks range={props.range} show={short} lines={[{ label: 'queries', metric: 'headroom_sql_queries_total', figure: 'rate' }, { label: 'errors', metric: 'headroom_sql_errors_total', figure: 'rate' }]} /></Card>
        <Card title="Query time"><Chart label="Query time" range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_sql_query_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Waiting for a connection"><Chart label="Wait for a server connection" range={props.range} show={ms} lines={(['p50', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_sql_pool_wait_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Connections busy">{rows.map((pool) => <Meter key={`${pool.database}/${pool.user}/${pool.server}`} label={`${pool.database} / ${pool.user}`} ratio={pool.use_percent / 100} text={`${number(pool.open - pool.idle)} of ${number(pool.limit)} busy`} note={advice(pool)} />)}
          <Chart label="Connections" range={props.range} show={short} lines={[{ label: 'open', metric: 'headroom_sql_pool_open', figure: 'mean' }, { label: 'idle', metric: 'headroom_sql_pool_idle', figure: 'mean' }, { label: 'waiting', metric: 'headroom_sql_pool_waiting', figure: 'max' }]} /></Card>
      </div>
      <Card title="Pools" wide><Table label="Pools" rows={rows} id={(row) => `${row.database}/${row.user}/${row.server}`} none="No pool yet: nobody has connected." columns={[
        { head: 'Database', cell: (row) => row.database }, { head: 'User', cell: (row) => row.user }, { head: 'Server', cell: (row) => row.server }, { head: 'Open', number: true, cell: (row) => `${number(row.open)} of ${number(row.limit)}` }, { head: 'Idle', number: true, cell: (row) => number(row.idle) },
        { head: 'Use', number: true, cell: (row) => percent(row.use_percent, 0) }, { head: 'Waiting', number: true, cell: (row) => number(row.waiting) }, { head: 'Waits', number: true, cell: (row) => number(row.waits) }, { head: 'Queries', number: true, cell: (row) => number(row.queries) }, { head: 'p95', number: true, cell: (row) => ms(row.p95_ms) },
        { head: 'In words', words: true, cell: (row) => <>{row.paused ? <Badge state="paused" /> : row.status && row.status !== 'healthy' ? <Badge state={row.status} /> : null} {advice(row)}
          {row.events?.length ? <details><summary>{count(row.events.length, 'event')}</summary>{row.events.slice(0, 20).map((event) => <div class="note">{when(event.at)} {event.what.replace('_', ' ')} {event.detail}</div>)}</details> : null}</> }]} /></Card>
      <Card title="Servers and replicas" wide note={servers.length ? 'Reads go to the replica that has the fewest at the moment; one that lags or is away gets none.' : undefined}>
        <Table label="Servers" rows={servers} id={(row) => `${row.database}/${row.server}`} none="No replicas: give them by --replica URL, and reads go there by themselves." columns={[
          { head: 'Server', cell: (row) => row.server }, { head: 'Database', cell: (row) => row.database }, { head: 'Role', cell: (row) => row.role }, { head: 'Gets', cell: (row) => (row.role === 'primary' ? <Badge state="ok">writes</Badge> : <Badge state={row.usable ? 'ok' : 'down'}>{row.usable ? 'reads' : 'nothing'}</Badge>) },
          { head: 'Lag', number: true, cell: (row) => (row.role === 'primary' ? '–' : `${ms(row.lag_seconds * 1000)}, ${bytes(row.lag_bytes)}`) }, { head: 'Reads', number: true, cell: (row) => number(row.reads) }, { head: 'Busy', number: true, cell: (row) => number(row.busy) }, { head: 'Timeline', number: true, cell: (row) => number(row.timeline) }, { head: 'Error', words: true, cell: (row) => row.error }]} />
      </Card>
      <Slow who={props.who} />
      <Cached results={results.value} />
      {pins.value?.pins && <Card title="Pins" wide note="Clients that keep a server connection for themselves, which the pool then cannot lend.">
        <Table label="Pins" rows={pins.value.pins} none="None." columns={[{ head: 'Database', cell: (row) => row.database }, { head: 'User', cell: (row) => row.user }, { head: 'Client', cell: (row) => String(row.client) }, { head: 'Server process', cell: (row) => String(row.server) }, { head: 'Because of', words: true, cell: (row) => row.reason }, { head: 'For', number: true, cell: (row) => span(row.for_s) }]} /></Card>}
    </>
  )
}
