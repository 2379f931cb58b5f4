import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { get, may, post } from '../api'
import { Chart } from '../chart'
import { bytes, ms, number, percent, short, span } from '../format'
import { useNow, usePoll } from '../live'
import { Act, Card, needs, Meter, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Class { name: string; ttl_s: number; entries: number; memory_bytes: number; hits: number; stale_hits: number; misses: number; coalesced: number; fills: number; load_p50_ms: number; load_p99_ms: number }
interface Tag { tag: string; entries: number; hits: number; fills: number; invalidations: number }
interface Stats { status: string; hit_ratio: number; memory_bytes: number; memory_limit_bytes: number; evictions: number; entries: number; hits: number; stale_hits: number; misses: number; coalesced: number
  disk: { up: boolean; entries: number; bytes: number; limit_bytes: number } | null; classes: Class[]; tags: Tag[] }

function Purge(props: { operator: boolean; done: () => void }) {
  const [by, setBy] = useState('tag')
  const [what, set] = useState('')
  const act = async () => {
    if (!what) throw new Error('say what to purge')
    if (by === 'tag') await post('/api/v1/cache/clear-tags', { tags: what.split(',').map((tag) => tag.trim()).filter(Boolean) })
    else await post('/api/v1/cache/clear', { [by]: what })
    set('')
  }
  return (
    <div class="row">
      <label>By <select value={by} onChange={(event) => setBy((event.target as HTMLSelectElement).value)} disabled={!props.operator}>
        {['tag', 'key', 'prefix', 'pattern', 'entity'].map((each) => <option>{each}</option>)}</select></label>
      <label>What <input id="purge" value={what} disabled={!props.operator} onInput={(event) => set((event.target as HTMLInputElement).value)} /></label>
      <Act label="Purge" act={act} done={props.done} disabled={!props.operator} why={needs('operator')} />
    </div>
  )
}

export function Cache(props: PageProps) {
  const now = useNow()
  const { value, error, again } = usePoll(() => get<Stats>('/api/v1/cache/stats'), [])
  if (value?.status === 'not_configured') return <NotConfigured what="Cache" how="It is off: cache.enabled." />
  const operator = may(props.who, 'operator')
  const lookups = value ? value.hits + value.stale_hits + value.misses + value.coalesced : 0
  return (
    <>
      <Problem text={error} />
      {value && (
        <Tiles>
          <Tile label="Hit ratio" value={percent(value.hit_ratio * 100)} note={lookups ? `${number(lookups - value.misses)} of ${number(lookups)} look-ups asked nobody. ${now?.explanations?.cache ?? ''}` : 'no look-ups yet'} state={lookups && value.hit_ratio < 0.3 ? 'warn' : ''} />
          <Tile label="Entries" value={number(value.entries)} note={`${number(value.evictions)} gone for want of room`} />
          <Tile label="Coalesced" value={number(value.coalesced)} note="requests that shared another's load" />
        </Tiles>
      )}
      <div class="grid">
        <Card title="Hits and misses"><Chart label="Look-ups per second" marks range={props.range} show={short} lines={[['hits', 'hits'], ['stale', 'stale_hits'], ['coalesced', 'coalesced'], ['misses', 'misses']].map(([label, name]) => ({ label, metric: `headroom_cache_${name}_total`, figure: 'rate' }))} /></Card>
        <Card title="Room">
          {value && <Meter label="Memory" ratio={value.memory_bytes / value.memory_limit_bytes} text={`${bytes(value.memory_bytes)} of ${bytes(value.memory_limit_bytes)}`} note="Full is how a cache should be: it evicts what is least used." />}
          {value?.disk && <Meter label={value.disk.up ? 'Disk' : 'Disk (failing)'} ratio={value.disk.bytes / value.disk.limit_bytes} text={`${bytes(value.disk.bytes)} of ${bytes(value.disk.limit_bytes)}`} />}
          <Chart label="Bytes held" range={props.range} show={bytes} by="tier" lines={[{ label: 'bytes', metric: 'headroom_cache_bytes', figure: 'mean' }]} />
        </Card>
      </div>
      <Card title="Purge" wide note="What is purged is gone for all who ask from now on."><Purge operator={operator} done={again} />{!operator && <p class="note">{needs('operator')}</p>}</Card>
      <Card title="Tags" wide note="sql:DATABASE:NUMBER is a table of that database, by its oid: what was read from it."><Table label="Tags" rows={value?.tags ?? []} id={(row) => row.tag} none="No tagged entries." columns={[
        { head: 'Tag', cell: (row) => row.tag }, { head: 'Entries', number: true, cell: (row) => number(row.entries) }, { head: 'Hits', number: true, cell: (row) => number(row.hits) }, { head: 'Fills', number: true, cell: (row) => number(row.fills) },
        { head: 'Purged', number: true, cell: (row) => number(row.invalidations) },
        { head: 'Act', cell: (row) => <Act label="Purge" disabled={!operator} why={needs('operator')} ask={`Purge all of ${row.tag}?`} act={() => post('/api/v1/cache/clear-tags', { tags: [row.tag] })} done={again} /> }]} /></Card>
      <Card title="Classes" wide><Table label="Classes" rows={value?.classes ?? []} id={(row) => row.name} columns={[
        { head: 'Class', cell: (row) => row.name }, { head: 'TTL', number: true, cell: (row) => span(row.ttl_s) }, { head: 'Entries', number: true, cell: (row) => number(row.entries) }, { head: 'Memory', number: true, cell: (row) => bytes(row.memory_bytes) },
        { head: 'Hits', number: true, cell: (row) => number(row.hits) }, { head: 'Misses', number: true, cell: (row) => number(row.misses) }, { head: 'Load p50', number: true, cell: (row) => (row.misses ? ms(row.load_p50_ms) : '–') }, { head: 'Load p99', number: true, cell: (row) => (row.misses ? ms(row.load_p99_ms) : '–') }]} /></Card>
    </>
  )
}
