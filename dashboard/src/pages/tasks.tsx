import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { call, get, may, post } from '../api'
import { Chart } from '../chart'
import { ms, number, short, span } from '../format'
import { usePoll } from '../live'
import { Act, Badge, Card, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Queue { name: string; paused: boolean; waiting: number; running: number; pushed: number; done: number; failed: number; oldest_waiting_s: number; pushed_per_s: number; done_per_s: number; drained_in_s: number | null }
interface Worker { wid: string; hostname: string; pid: number; state: string; running: number; last_beat_s: number | null }
interface Stats { status: string; queues: Queue[] | null; running: number; scheduled: number; retrying: number; dead: number; pushed: number; done: number; failed: number; run_time: { count: number; mean_s: number; p95_s: number; p99_s: number }; workers: Worker[] }
interface Job { jid: string; jobtype?: string; queue?: string; failure?: { retry_count?: number; message?: string; errtype?: string }; [name: string]: unknown }
interface Schedule { name: string; runs: number; next: string | null; schedule: unknown }

const sets = ['dead', 'retrying', 'scheduled', 'running', 'waiting']
const why = 'This needs the role operator.'

export function Tasks(props: PageProps) {
  const [set, choose] = useState('dead')
  const [queue, name] = useState('default')
  const stats = usePoll(() => get<Stats>('/api/v1/tasks/stats'), [])
  const jobs = usePoll(() => get<{ jobs: { job?: Job }[] & Job[] }>(`/api/v1/tasks?set=${set}&queue=${encodeURIComponent(queue)}&limit=50`), [set, queue])
  const schedules = usePoll(() => get<{ schedules: Schedule[] }>('/api/v1/tasks/schedules'), [], 10)
  if (stats.value?.status === 'not_configured') return <NotConfigured what="Tasks" how="Turn it on: tasks.enabled." />
  const operator = may(props.who, 'operator')
  const all = stats.value
  const rows = (jobs.value?.jobs ?? []).map((each) => (each.job ? { ...each, ...each.job } : each) as Job)
  const again = () => { stats.again(); jobs.again() }
  return (
    <>
      <Problem text={stats.error || jobs.error} />
      {all && (
        <Tiles>
          <Tile label="Running" value={number(all.running)} note={`${number(all.workers.length)} worker processes`} />
          <Tile label="Done" value={number(all.done)} note={`${number(all.pushed)} pushed`} />
          <Tile label="Retrying" value={number(all.retrying)} note={`${number(all.failed)} failures since the start`} state={all.retrying > 0 ? 'warn' : ''} />
          <Tile label="Dead" value={number(all.dead)} note="all retries used up" state={all.dead > 0 ? 'bad' : ''} />
          <Tile label="Run time p95" value={ms(all.run_time.p95_s * 1000)} note={`mean ${ms(all.run_time.mean_s * 1000)}`} />
        </Tiles>
      )}
      <div class="grid">
        <Card title="Jobs per second"><Chart label="Jobs per second" range={props.range} show={short} lines={['pushed', 'done', 'failed'].map((label) => ({ label, metric: `headroom_tasks_${label}_total`, figure: 'rate' }))} /></Card>
        <Card title="Jobs by state"><Chart label="Jobs by state" range={props.range} show={short} by="state" lines={[{ label: 'jobs', metric: 'headroom_tasks_jobs', figure: 'mean' }]} /></Card>
      </div>
      <Card title="Queues" wide><Table label="Queues" rows={all?.queues ?? []} id={(row) => row.name} none="No queue yet." columns={[
        { head: 'Queue', cell: (row) => <>{row.name} {row.paused && <Badge state="paused" />}</> }, { head: 'Waiting', number: true, cell: (row) => number(row.waiting) }, { head: 'Running', number: true, cell: (row) => number(row.running) },
        { head: 'In', number: true, cell: (row) => `${short(row.pushed_per_s)} /s` }, { head: 'Out', number: true, cell: (row) => `${short(row.done_per_s)} /s` }, { head: 'Oldest', number: true, cell: (row) => span(row.oldest_waiting_s) },
        { head: 'Outlook', cell: (row) => (row.waiting === 0 ? 'empty' : row.drained_in_s === null ? 'grows: add workers' : `empty in ${span(row.drained_in_s)}`) },
        { head: 'Act', cell: (row) => <Act label={row.paused ? 'Resume' : 'Pause'} disabled={!operator} why={why} ask={row.paused ? undefined : `Hand out no more of ${row.name}?`} act={() => post(`/api/v1/tasks/queues/${encodeURIComponent(row.name)}/${row.paused ? 'resume' : 'pause'}`)} done={again} /> }]} /></Card>
      <Card title="Jobs" wide actions={<span class="row">
        <label>Set <select value={set} onChange={(event) => choose((event.target as HTMLSelectElement).value)}>{sets.map((each) => <option>{each}</option>)}</select></label>
        {set === 'waiting' && <label>Queue <select value={queue} onChange={(event) => name((event.target as HTMLSelectElement).value)}>{(all?.queues ?? []).map((each) => <option>{each.name}</option>)}</select></label>}
      </span>}>
        <Table label="Jobs" rows={rows} id={(row) => row.jid} none={`No ${set} jobs.`} columns={[
          { head: 'Job', cell: (row) => <code>{row.jid}</code> }, { head: 'Type', cell: (row) => row.jobtype ?? '' }, { head: 'Queue', cell: (row) => row.queue ?? '' },
          { head: 'Failure', cell: (row) => (row.failure ? `${row.failure.errtype ?? ''} ${row.failure.message ?? ''} (retry ${number(row.failure.retry_count ?? 0)})` : '') },
          { head: 'Act', cell: (row) => (
            <span class="row">
              {set !== 'running' && set !== 'waiting' && <Act label="Retry" disabled={!operator} why={why} act={() => post(`/api/v1/tasks/jobs/${encodeURIComponent(row.jid)}/retry`)} done={again} />}
              <Act label="Cancel" disabled={!operator} why={why} ask="Remove it for good?" act={() => call('DELETE', `/api/v1/tasks/jobs/${encodeURIComponent(row.jid)}`)} done={again} />
            </span>) }]} />
      </Card>
      <div class="grid">
        <Card title="Worker processes"><Table label="Worker processes" rows={all?.workers ?? []} id={(row) => row.wid} none="None is connected." columns={[{ head: 'Host', cell: (row) => `${row.hostname} (${row.pid})` }, { head: 'State', cell: (row) => row.state }, { head: 'Running', number: true, cell: (row) => number(row.running) }, { head: 'Last beat', number: true, cell: (row) => (row.last_beat_s === null ? '–' : `${span(row.last_beat_s)} ago`) }]} /></Card>
        <Card title="Schedules"><Table label="Schedules" rows={schedules.value?.schedules ?? []} id={(row) => row.name} none="None." columns={[{ head: 'Name', cell: (row) => row.name }, { head: 'Runs', number: true, cell: (row) => number(row.runs) }, { head: 'Next', cell: (row) => row.next ?? '–' }]} /></Card>
      </div>
    </>
  )
}
