import type { PageProps } from '../main'
import { get, may, post, Refused } from '../api'
import { useEffect, useState } from 'preact/hooks'
import { Chart } from '../chart'
import { bytes, count, ms, number, short, when } from '../format'
import { usePoll } from '../live'
import { Act, Card, needs, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Times { count: number; p50_ms: number; p95_ms: number; p99_ms: number }
interface Stats { status: string; connections: number; blocked: number; connections_by_face: Record<string, number>; channels: number; subscriptions: number; published: number; delivered: number; dropped: Record<string, number>; delivery: Times; top_channels: { app: string; channel: string; subscriptions: number; messages: number }[]
  refused?: Record<string, number>; recoveries?: { recovered: number; lost: number } }
interface Channel { app: string; channel: string; subscriptions: number; messages: number; kept?: number; kept_bytes?: number; members?: number }
interface Heard { time?: number; app?: string; channel?: string; event?: string; data?: string; cut?: boolean; bytes?: number; priority?: string; user_id?: string; unheard?: boolean; skipped?: number }

const keptMessages = 100

function Publish(props: { operator: boolean }) {
  const [channel, setChannel] = useState('')
  const [data, setData] = useState('{"hello": "from the dashboard"}')
  const act = async () => {
    if (!channel) throw new Error('name a channel')
    let value: unknown
    try { value = JSON.parse(data) } catch { throw new Error('the data is no JSON') }
    await post('/api/v1/realtime/publish', { type: 'message', channels: [channel], data: value })
  }
  return (
    <div class="row">
      <label>Channel <input value={channel} disabled={!props.operator} onInput={(event) => setChannel((event.target as HTMLInputElement).value)} /></label>
      <label>Data (JSON) <input value={data} size={30} disabled={!props.operator} onInput={(event) => setData((event.target as HTMLInputElement).value)} /></label>
      <Act label="Publish" act={act} disabled={!props.operator} why={needs('operator')} />
    </div>
  )
}

// What is published on a channel, as it comes. Nothing of it is kept but in this page.
function Inspector(props: { admin: boolean; asked: { app: string; channel: string } }) {
  const [channel, name] = useState('')
  const [app, choose] = useState('')
  const [watched, watch] = useState<{ app: string; channel: string } | null>(null)
  const [heard, hear] = useState<Heard[]>([])
  const [state, say] = useState('')
  useEffect(() => { if (props.asked.channel) { name(props.asked.channel); choose(props.asked.app) } }, [props.asked])
  useEffect(() => {
    if (!watched) return
    const query = new URLSearchParams({ channel: watched.channel, ...(watched.app ? { app: watched.app } : {}) })
    const source = new EventSource(`/api/v1/realtime/watch?${query}`)
    source.onopen = () => say('watching')
    source.onmessage = (event) => hear((before) => [JSON.parse(event.data) as Heard, ...before].slice(0, keptMessages))
    source.onerror = () => say(source.readyState === EventSource.CLOSED ? 'it was refused: no such app, or too many watch already' : 'connecting again…')
    return () => source.close()
  }, [watched])
  if (!props.admin) return <p class="note">Messages may be private: {needs('admin').toLowerCase()}</p>
  const begin = (event: Event) => { event.preventDefault(); hear([]); say('connecting…'); watch({ app, channel }) }
  return (
    <>
      <form class="row" onSubmit={begin}>
        <label>Channel <input value={channel} required placeholder="orders or chat-*" onInput={(event) => name((event.target as HTMLInputElement).value)} /></label>
        <label>App <input value={app} placeholder="the plain one" onInput={(event) => choose((event.target as HTMLInputElement).value)} /></label>
        {watched ? <button type="button" onClick={() => { watch(null); say('') }}>Stop</button> : <button type="submit">Watch</button>}
        <span class="note" role="status">{watched ? `${watched.channel}: ${state}` : ''}</span>
      </form>
      {watched && <Table label="Messages" rows={heard} none="Nothing has been published yet." columns={[
        { head: 'When', cell: (row) => <span class="nowrap">{row.skipped ? '' : when(row.time)}</span> }, { head: 'Channel', cell: (row) => row.channel ?? '' }, { head: 'Event', cell: (row) => row.event ?? '' },
        { head: 'Data', words: true, cell: (row) => (row.skipped ? <span class="warn-text">{count(row.skipped, 'message')} came too fast to be shown</span> : <code class="query">{row.data}{row.cut ? ' …' : ''}{row.unheard ? <span class="note"> (nobody heard it)</span> : null}</code>) },
        { head: 'Size', number: true, cell: (row) => bytes(row.bytes) }, { head: 'From', cell: (row) => row.user_id ?? '' }]} />}
    </>
  )
}

export function Realtime(props: PageProps) {
  const [prefix, find] = useState('')
  const [asked, ask] = useState({ app: '', channel: '' })
  const { value, error } = usePoll(() => get<Stats>('/api/v1/realtime'), [])
  const channels = usePoll(() => get<{ channels: Channel[] | null; more?: boolean }>(`/api/v1/realtime/channels?limit=50&prefix=${encodeURIComponent(prefix)}`).catch((problem) => { if (problem instanceof Refused && problem.status === 404) return null; throw problem }), [prefix], 3)
  if (value?.status === 'not_configured') return <NotConfigured what="Real-time" how="Turn it on: realtime.enabled." />
  const sum = (all: Record<string, number> | undefined) => Object.values(all ?? {}).reduce((total, each) => total + each, 0)
  const causes = [...Object.entries(value?.dropped ?? {}).map(([cause, times]) => ({ what: 'dropped', cause, times })), ...Object.entries(value?.refused ?? {}).map(([cause, times]) => ({ what: 'refused', cause, times }))].filter((each) => each.times)
  const rows: Channel[] = channels.value?.channels ?? (value?.top_channels ?? []).filter((each) => each.channel.startsWith(prefix))
  const admin = may(props.who, 'admin')
  return (
    <>
      <Problem text={error || channels.error} />
      {value && (
        <Tiles>
          <Tile label="Connections" value={number(value.connections)} note={Object.entries(value.connections_by_face).filter(([, each]) => each).map(([face, each]) => `${number(each)} ${face}`).join(', ') || 'nobody is connected'} />
          <Tile label="Channels" value={number(value.channels)} note={count(value.subscriptions, 'subscription')} />
          <Tile label="Delivery p99" value={value.delivered ? ms(value.delivery.p99_ms) : '–'} note={`${number(value.delivered)} deliveries since the start; batches wait up to 100 ms by design`} />
          <Tile label="Slow readers" value={number(value.blocked)} note={`${count(sum(value.dropped), 'message')} dropped for them`} state={value.blocked > 0 ? 'warn' : ''} />
          {value.recoveries && <Tile label="Recovered" value={number(value.recoveries.recovered)} note={`reconnections got what they had missed; ${number(value.recoveries.lost)} could not`} />}
        </Tiles>
      )}
      <div class="grid">
        <Card title="Messages"><Chart label="Messages per second" marks range={props.range} show={short} lines={[{ label: 'published', metric: 'headroom_realtime_published_total', figure: 'rate' }, { label: 'delivered', metric: 'headroom_realtime_delivered_total', figure: 'rate' }, { label: 'dropped', metric: 'headroom_realtime_dropped_total', figure: 'rate' }]} /></Card>
        <Card title="Connections"><Chart label="Connections" marks range={props.range} show={short} lines={[{ label: 'open', metric: 'headroom_realtime_connections_open', figure: 'max' }]} /></Card>
        <Card title="Delivery time"><Chart label="Delivery time" range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_realtime_delivery_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Dropped and refused"><Table label="Dropped and refused" rows={causes} none="Nothing was dropped, nobody refused." columns={[{ head: 'What', cell: (row) => row.what }, { head: 'Because', words: true, cell: (row) => row.cause.replace(/_/g, ' ') }, { head: 'Times', number: true, cell: (row) => number(row.times) }]} /></Card>
      </div>
      <Card title="Channels" wide note="Most subscriptions first." actions={<label>Begins with <input value={prefix} onInput={(event) => find((event.target as HTMLInputElement).value)} /></label>}>
        <Table label="Channels" rows={rows} id={(row) => `${row.app}/${row.channel}`} none="No channel." columns={[{ head: 'Channel', cell: (row) => row.channel }, { head: 'App', cell: (row) => row.app }, { head: 'Subscriptions', number: true, cell: (row) => number(row.subscriptions) }, { head: 'Messages', number: true, cell: (row) => number(row.messages) },
          ...(rows.some((row) => row.kept !== undefined) ? [{ head: 'Kept for recovery', number: true, cell: (row: Channel) => `${number(row.kept)}, ${bytes(row.kept_bytes)}` }] : []), ...(rows.some((row) => row.members !== undefined) ? [{ head: 'Members', number: true, cell: (row: Channel) => number(row.members) }] : []),
          ...(admin ? [{ head: 'Act', cell: (row: Channel) => <button onClick={() => ask({ app: row.app, channel: row.channel })}>Inspect</button> }] : [])]} />
        {channels.value?.more && <p class="note">There are more: name how they begin.</p>}
      </Card>
      <Card title="Inspector" wide note="Watch a channel without joining it. Who watches what is logged."><Inspector admin={admin} asked={asked} /></Card>
      <Card title="Publish" wide><Publish operator={may(props.who, 'operator')} /></Card>
    </>
  )
}
