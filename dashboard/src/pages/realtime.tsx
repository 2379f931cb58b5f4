import type { PageProps } from '../main'
import { get, may, post } from '../api'
import { useState } from 'preact/hooks'
import { Chart } from '../chart'
import { ms, number, short } from '../format'
import { usePoll } from '../live'
import { Act, Card, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Times { count: number; p50_ms: number; p95_ms: number; p99_ms: number }
interface Stats { status: string; connections: number; blocked: number; connections_by_face: Record<string, number>; channels: number; subscriptions: number; published: number; delivered: number; dropped: Record<string, number>; delivery: Times; top_channels: { app: string; channel: string; subscriptions: number }[] }

function Publish(props: { operator: boolean }) {
  const [channel, setChannel] = useState('')
  const [data, setData] = useState('{"hello": "from the dashboard"}')
  const act = async () => {
    if (!channel) throw new Error('name a channel')
    await post('/api/v1/realtime/publish', { type: 'message', channels: [channel], data: JSON.parse(data) })
  }
  return (
    <div class="row">
      <label>Channel <input value={channel} disabled={!props.operator} onInput={(event) => setChannel((event.target as HTMLInputElement).value)} /></label>
      <label>Data (JSON) <input value={data} disabled={!props.operator} onInput={(event) => setData((event.target as HTMLInputElement).value)} /></label>
      <Act label="Publish" act={act} disabled={!props.operator} why="This needs the role operator." />
    </div>
  )
}

export function Realtime(props: PageProps) {
  const { value, error } = usePoll(() => get<Stats>('/api/v1/realtime'), [])
  if (value?.status === 'not_configured') return <NotConfigured what="Real-time" how="Turn it on: realtime.enabled." />
  const dropped = Object.entries(value?.dropped ?? {}).reduce((all, [, count]) => all + count, 0)
  return (
    <>
      <Problem text={error} />
      {value && (
        <Tiles>
          <Tile label="Connections" value={number(value.connections)} note={Object.entries(value.connections_by_face).filter(([, count]) => count).map(([face, count]) => `${number(count)} ${face}`).join(', ') || 'nobody is connected'} />
          <Tile label="Channels" value={number(value.channels)} note={`${number(value.subscriptions)} subscriptions`} />
          <Tile label="Delivery p99" value={ms(value.delivery.p99_ms)} note={`${number(value.delivered)} deliveries since the start`} />
          <Tile label="Slow readers" value={number(value.blocked)} note={`${number(dropped)} messages dropped for them`} state={value.blocked > 0 ? 'warn' : ''} />
        </Tiles>
      )}
      <div class="grid">
        <Card title="Messages"><Chart label="Messages per second" range={props.range} show={short} lines={[{ label: 'published', metric: 'headroom_realtime_published_total', figure: 'rate' }, { label: 'delivered', metric: 'headroom_realtime_delivered_total', figure: 'rate' }, { label: 'dropped', metric: 'headroom_realtime_dropped_total', figure: 'rate' }]} /></Card>
        <Card title="Connections"><Chart label="Connections" range={props.range} show={short} lines={[{ label: 'open', metric: 'headroom_realtime_connections_open', figure: 'max' }]} /></Card>
        <Card title="Delivery time"><Chart label="Delivery time" range={props.range} show={ms} lines={(['p50', 'p95', 'p99'] as const).map((figure) => ({ label: figure, metric: 'headroom_realtime_delivery_seconds', figure, scale: 1000 }))} /></Card>
        <Card title="Largest channels"><Table label="Largest channels" rows={value?.top_channels ?? []} none="No channel." columns={[{ head: 'Channel', cell: (row) => row.channel }, { head: 'App', cell: (row) => row.app }, { head: 'Subscriptions', number: true, cell: (row) => number(row.subscriptions) }]} /></Card>
      </div>
      <Card title="Publish" wide><Publish operator={may(props.who, 'operator')} /></Card>
    </>
  )
}
