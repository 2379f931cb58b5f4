import type { PageProps } from '../main'
import { get } from '../api'
import { Chart } from '../chart'
import { ms, number, percent, short } from '../format'
import { usePoll } from '../live'
import { Badge, Card, Meter, NotConfigured, Problem, Table } from '../parts'

interface Pool { database: string; user: string; server: string; paused: boolean; open: number; idle: number; limit: number; use_percent: number; waiting: number; longest_wait_ms: number; waits: number; timeouts: number; failures: number; last_error: string; queries: number; transactions: number; errors: number; mean_ms: number; p95_ms: number; p99_ms: number }
interface Query { query: string; database: string; user: string; calls: number; errors: number; total_ms: number; mean_ms: number; p95_ms: number; max_ms: number }

// Whether the pool is large enough, in one sentence.
function advice(pool: Pool): string {
  if (pool.last_error && pool.open === 0) return `no connection: ${pool.last_error}`
  if (pool.waiting > 0) return `${number(pool.waiting)} wait, the longest ${ms(pool.longest_wait_ms)}: all ${number(pool.limit)} are busy; raise sql.pool_size or shorten transactions`
  if (pool.use_percent > 80) return 'nearly full: the next burst will wait'
  return pool.timeouts > 0 ? `${number(pool.timeouts)} waits have ended without a connection since the start` : 'nobody waits'
}

export function Sql(props: PageProps) {
  const pools = usePoll(() => get<{ status: string; pools: Pool[] | null }>('/api/v1/sql/pools'), [])
  const slow = usePoll(() => get<{ slow_queries: Query[] | null }>('/api/v1/database/slow-queries?limit=20'), [], 5)
  if (pools.value?.status === 'not_configured') return <NotConfigured what="SQL" how="Give it a server: --postgres URL." />
  const rows = pools.value?.pools ?? []
  return (
    <>
      <Problem text={pools.error || slow.error} />
      <div class="grid">
        <Card title="Queries"><Chart label="Queries and errors per second" range={props.range} show={short} lines={[{ label: 'queries', metric: 'headroom_sql_queries_total', figure: 'rate' }, { label: 'errors', metric: 'headroom_sql_errors_total', figure: 'rate' }]} /></Card>
        <Card title="Query time"><Chart label="Query time" range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_sql_query_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Waiting for a connection"><Chart label="Wait for a server connection" range={props.range} show={ms} lines={(['p50', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_sql_pool_wait_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Pools">{rows.map((pool) => <Meter key={`${pool.database}/${pool.user}/${pool.server}`} label={`${pool.database} / ${pool.user}`} ratio={pool.use_percent / 100} text={`${number(pool.open - pool.idle)} of ${number(pool.limit)} busy`} note={advice(pool)} />)}</Card>
      </div>
      <Card title="Pools in detail" wide><Table label="Pools" rows={rows} id={(row) => `${row.database}/${row.user}/${row.server}`} none="No pool yet: nobody has connected." columns={[
        { head: 'Database', cell: (row) => row.database }, { head: 'User', cell: (row) => row.user }, { head: 'Server', cell: (row) => row.server }, { head: 'Open', number: true, cell: (row) => number(row.open) }, { head: 'Idle', number: true, cell: (row) => number(row.idle) },
        { head: 'Use', number: true, cell: (row) => percent(row.use_percent) }, { head: 'Waiting', number: true, cell: (row) => number(row.waiting) }, { head: 'Queries', number: true, cell: (row) => number(row.queries) }, { head: 'p95', number: true, cell: (row) => ms(row.p95_ms) },
        { head: 'In words', cell: (row) => (row.paused ? <Badge state="paused" /> : advice(row)) }]} /></Card>
      <Card title="Slow queries" wide note="By mean time, literals blanked."><Table label="Slow queries" rows={slow.value?.slow_queries ?? []} none="None measured yet." columns={[
        { head: 'Query', cell: (row) => <code class="query">{row.query}</code> }, { head: 'Calls', number: true, cell: (row) => number(row.calls) }, { head: 'Mean', number: true, cell: (row) => ms(row.mean_ms) }, { head: 'p95', number: true, cell: (row) => ms(row.p95_ms) },
        { head: 'Longest', number: true, cell: (row) => ms(row.max_ms) }, { head: 'In all', number: true, cell: (row) => ms(row.total_ms) }]} /></Card>
    </>
  )
}
