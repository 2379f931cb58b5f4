import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { call, get, may, post } from '../api'
import { Chart } from '../chart'
import { count, ms, number, short, span, when } from '../format'
import { usePoll } from '../live'
import { Act, Badge, Card, needs, NotConfigured, Problem, Table, Tile, Tiles } from '../parts'

interface Queue { name: string; paused: boolean; waiting: number; running: number; pushed: number; done: number; failed: number; oldest_waiting_s: number; pushed_per_s: number; done_per_s: number; drained_in_s: number | null; wait_time?: { p95_s: number }; run_time?: { p95_s: number } }
interface Worker { wid: string; hostname: string; pid: number; labels?: string[]; state: string; running: number; last_beat_s: number | null; rss_kb?: number }
interface Stats { status: string; queues: Queue[] | null; running: number; scheduled: number; retrying: number; dead: number; pushed: number; done: number; failed: number; wait_time: { p95_s: number }; run_time: { count: number; mean_s: number; p95_s: number; p99_s: number }; workers: Worker[] }
interface Failure { retry_count?: number; message?: string; errtype?: string; backtrace?: string[]; failed_at?: string; next_at?: string }
interface Job { jid: string; jobtype?: string; queue?: string; args?: unknown[]; custom?: unknown; created_at?: string; due?: string; died?: string; worker?: string; running_s?: number; percent?: number; failure?: Failure; [name: string]: unknown }
interface Schedule { name: string; runs: number; next: string | null; last: string | null; schedule: { cron?: string; zone?: string; paused?: boolean; job?: { jobtype?: string; queue?: string } } }

const sets = ['dead', 'retrying', 'scheduled', 'running', 'waiting']
const why = needs('operator')

// What becomes of a queue at the pace of the last seconds.
function outlook(row: Queue): string {
  if (row.waiting === 0) return 'empty'
  if (row.paused) return 'paused: nothing is handed out'
  if (row.drained_in_s !== null) return `empty in ${span(row.drained_in_s)}`
  if (row.done_per_s === 0 && row.running === 0) return 'stands still: no worker takes from it'
  return `grows by ${short(row.pushed_per_s - row.done_per_s)} /s: add workers`
}
function moment(set: string, job: Job): string {
  if (set === 'running') return `${span(job.running_s ?? 0)} at ${job.worker ?? '?'}${job.percent !== undefined ? `, ${job.percent} %` : ''}`
  return when((set === 'dead' ? job.died : set === 'waiting' ? job.created_at : job.due) as string | undefined)
}
function Details(props: { job: Job }) {
  const { args, custom, failure } = props.job
  const text = JSON.stringify(args ?? [])
  return (
    <>
      {failure && <div>{failure.errtype ? `${failure.errtype}: ` : ''}{failure.message} <span class="note">({count(failure.retry_count ?? 0, 'retry', 'retries')})</span></div>}
      <details><summary><code>{text.length > 60 ? text.slice(0, 60) + '…' : text}</code></summary>
        <pre tabIndex={0} aria-label="The whole job">{JSON.stringify({ args, ...(custom ? { custom } : {}), ...(failure?.backtrace?.length ? { backtrace: failure.backtrace } : {}) }, null, 2)}</pre></details>
    </>
  )
}

function Jobs(props: { operator: boolean; queues: Queue[]; changed: () => void }) {
  const [set, choose] = useState('dead')
  const [queue, name] = useState('')
  const [type, narrow] = useState('')
  const [picked, pick] = useState<string[]>([])
  const from = queue || props.queues[0]?.name || 'default'
  const jobs = usePoll(() => get<{ jobs: { job?: Job }[] & Job[]; next: string | null }>(`/api/v1/tasks?set=${set}&queue=${encodeURIComponent(from)}&limit=50`), [set, from])
  const all = (jobs.value?.jobs ?? []).map((each) => (each.job ? { ...each, ...each.job } : each) as Job)
  const rows = all.filter((row) => !type || row.jobtype === type)
  const here = picked.filter((jid) => rows.some((row) => row.jid === jid))
  const again = () => { pick([]); jobs.again(); props.changed() }
  const sweep = (act: string) => post('/api/v1/tasks/sweep', { act, set, ...(set === 'waiting' ? { queue: from } : {}), ...(here.length ? { jids: here } : type ? { jobtype: type } : {}) })
  const which = here.length ? `the ${count(here.length, 'chosen job')}` : type ? `all ${set} jobs of type ${type}` : `all ${set} jobs${set === 'waiting' ? ` of ${from}` : ''}`
  const acts: [string, string, string][] = set === 'running' ? [] : [...(set === 'waiting' ? [] : [['Retry', 'requeue', `Put ${which} into their queues now?`] as [string, string, string]]), ...(set === 'dead' ? [] : [['Kill', 'kill', `Move ${which} to the dead ones?`] as [string, string, string]]), ['Remove', 'remove', `Remove ${which} for good?`]]
  return (
    <Card title="Jobs" wide actions={<span class="row">
      <label>Set <select value={set} onChange={(event) => { choose((event.target as HTMLSelectElement).value); pick([]) }}>{sets.map((each) => <option>{each}</option>)}</select></label>
      {set === 'waiting' && <label>Queue <select value={from} onChange={(event) => { name((event.target as HTMLSelectElement).value); pick([]) }}>{props.queues.map((each) => <option>{each.name}</option>)}</select></label>}
      <label>Type <input value={type} size={14} placeholder="all" onInput={(event) => narrow((event.target as HTMLInputElement).value)} /></label>
    </span>}>
      <Problem text={jobs.error} />
      {acts.length > 0 && rows.length > 0 && <p class="row"><span class="note">{here.length ? `${count(here.length, 'job')} chosen:` : 'None chosen, so all that are shown and further ones:'}</span>
        {acts.map(([label, act, ask]) => <Act key={label} label={`${label} ${here.length ? 'chosen' : 'all'}`} disabled={!props.operator} why={why} ask={ask} act={() => sweep(act)} done={again} />)}</p>}
      <Table label="Jobs" rows={rows} id={(row) => row.jid} none={`No ${set} jobs.`} columns={[
        ...(acts.length ? [{ head: 'Choose', cell: (row: Job) => <input type="checkbox" aria-label={`choose ${row.jid}`} disabled={!props.operator} checked={picked.includes(row.jid)} onChange={(event) => pick((event.target as HTMLInputElement).checked ? [...picked, row.jid] : picked.filter((each) => each !== row.jid))} /> }] : []),
        { head: 'Job', cell: (row) => <code>{row.jid}</code> }, { head: 'Type', cell: (row) => row.jobtype ?? '' }, { head: 'Queue', cell: (row) => row.queue ?? '' },
        { head: set === 'running' ? 'Runs for' : set === 'dead' ? 'Died' : set === 'waiting' ? 'Made' : 'Due', cell: (row) => <span class="nowrap">{moment(set, row)}</span> },
        { head: 'Arguments and failure', words: true, cell: (row) => <Details job={row} /> },
        { head: 'Act', cell: (row) => (
          <span class="row">
            {set !== 'running' && set !== 'waiting' && <Act label="Retry" disabled={!props.operator} why={why} act={() => post(`/api/v1/tasks/jobs/${encodeURIComponent(row.jid)}/retry`)} done={again} />}
            <Act label="Cancel" disabled={!props.operator} why={why} ask="Remove it for good?" act={() => call('DELETE', `/api/v1/tasks/jobs/${encodeURIComponent(row.jid)}`)} done={again} />
          </span>) }]} />
      {jobs.value?.next && <p class="note">The first 50; there are more.</p>}
    </Card>
  )
}

export function Tasks(props: PageProps) {
  const stats = usePoll(() => get<Stats>('/api/v1/tasks/stats'), [])
  const [pages, turn] = useState<string[]>([])
  const after = pages[pages.length - 1]
  const schedules = usePoll(() => get<{ schedules: Schedule[]; next: string | null }>(`/api/v1/tasks/schedules${after ? `?after=${encodeURIComponent(after)}` : ''}`), [after], 5)
  const further = schedules.value?.next
  if (stats.value?.status === 'not_configured' || /tasks\.enabled/.test(stats.error)) return <NotConfigured what="Tasks" how="Turn it on: tasks.enabled." />
  const operator = may(props.who, 'operator')
  const all = stats.value
  const path = (row: Schedule) => `/api/v1/tasks/schedules/${encodeURIComponent(row.name)}`
  const pause = (row: Schedule) => call('PUT', path(row), { ...row.schedule, paused: !row.schedule.paused })
  return (
    <>
      <Problem text={stats.error || schedules.error} />
      {all && (
        <Tiles>
          <Tile label="Running" value={number(all.running)} note={count(all.workers.length, 'worker process', 'worker processes')} />
          <Tile label="Done" value={number(all.done)} note={`${number(all.pushed)} pushed since the store was made`} />
          <Tile label="Retrying" value={number(all.retrying)} note={`${number(all.failed)} failures; ${number(all.scheduled)} scheduled for later`} state={all.retrying > 0 ? 'warn' : ''} />
          <Tile label="Dead" value={number(all.dead)} note={all.dead ? 'all retries used up: look at their failures, retry or remove them' : 'none has used up its retries'} state={all.dead > 0 ? 'bad' : ''} />
          <Tile label="Run time p95" value={all.run_time.count ? ms(all.run_time.p95_s * 1000) : '–'} note={`mean ${ms(all.run_time.mean_s * 1000)}; they wait ${ms(all.wait_time.p95_s * 1000)} (p95) for a worker`} />
        </Tiles>
      )}
      <div class="grid">
        <Card title="Jobs per second"><Chart label="Jobs per second" marks range={props.range} show={short} lines={['pushed', 'done', 'failed'].map((label) => ({ label, metric: `headroom_tasks_${label}_total`, figure: 'rate' }))} /></Card>
        <Card title="Jobs by state"><Chart label="Jobs by state" marks range={props.range} show={short} by="state" lines={[{ label: 'jobs', metric: 'headroom_tasks_jobs', figure: 'mean' }]} /></Card>
      </div>
      <Card title="Queues" wide><Table label="Queues" rows={all?.queues ?? []} id={(row) => row.name} none="No queue yet." columns={[
        { head: 'Queue', cell: (row) => <>{row.name} {row.paused && <Badge state="paused" />}</> }, { head: 'Waiting', number: true, cell: (row) => number(row.waiting) }, { head: 'Running', number: true, cell: (row) => number(row.running) },
        { head: 'Done', number: true, cell: (row) => number(row.done) }, { head: 'Failed', number: true, cell: (row) => number(row.failed) },
        { head: 'In', number: true, cell: (row) => `${short(row.pushed_per_s)} /s` }, { head: 'Out', number: true, cell: (row) => `${short(row.done_per_s)} /s` }, { head: 'Oldest', number: true, cell: (row) => (row.waiting ? span(row.oldest_waiting_s) : '–') },
        { head: 'Run p95', number: true, cell: (row) => (row.done ? ms((row.run_time?.p95_s ?? 0) * 1000) : '–') },
        { head: 'Outlook', words: true, cell: (row) => outlook(row) },
        { head: 'Act', cell: (row) => <Act label={row.paused ? 'Resume' : 'Pause'} disabled={!operator} why={why} ask={row.paused ? undefined : `Hand out no more of ${row.name}?`} act={() => post(`/api/v1/tasks/queues/${encodeURIComponent(row.name)}/${row.paused ? 'resume' : 'pause'}`)} done={stats.again} /> }]} /></Card>
      <Jobs operator={operator} queues={all?.queues ?? []} changed={stats.again} />
      <Card title="Schedules" wide actions={(after || further) && <span class="row">
        <button disabled={!after} onClick={() => turn(pages.slice(0, -1))}>Previous</button>
        <button disabled={!further} onClick={() => further && turn([...pages, further])}>More</button></span>}><Table label="Schedules" rows={schedules.value?.schedules ?? []} id={(row) => row.name} none="None." columns={[
        { head: 'Name', cell: (row) => <>{row.name} {row.schedule.paused && <Badge state="paused" />}</> }, { head: 'When', cell: (row) => <><code>{row.schedule.cron}</code> <span class="note">{row.schedule.zone}</span></> }, { head: 'Job', cell: (row) => row.schedule.job?.jobtype ?? '' },
        { head: 'Runs', number: true, cell: (row) => number(row.runs) }, { head: 'Last', cell: (row) => (row.last ? when(row.last) : 'never') }, { head: 'Next', cell: (row) => when(row.next) },
        { head: 'Act', cell: (row) => <span class="row">
          <Act label="Run now" disabled={!operator || !row.schedule.job} why={why} ask={`Enqueue a ${row.schedule.job?.jobtype ?? 'job'} now?`} act={() => post('/api/v1/tasks', row.schedule.job)} done={stats.again} />
          <Act label={row.schedule.paused ? 'Resume' : 'Pause'} disabled={!operator} why={why} act={() => pause(row)} done={schedules.again} /></span> }]} /></Card>
      <Card title="Worker processes" wide><Table label="Worker processes" rows={all?.workers ?? []} id={(row) => row.wid} none="None is connected: a Faktory worker at the tasks door, or [[tasks.push]]." columns={[
        { head: 'Host', cell: (row) => (row.pid ? `${row.hostname} (${row.pid})` : row.hostname) }, { head: 'Name', cell: (row) => <code>{row.wid}</code> }, { head: 'State', cell: (row) => <Badge state={row.state} /> }, { head: 'Running', number: true, cell: (row) => number(row.running) }, { head: 'Last beat', number: true, cell: (row) => (row.last_beat_s === null ? '–' : `${span(row.last_beat_s)} ago`) },
        { head: 'Act', cell: (row) => <span class="row">
          <Act label="Quiet" disabled={!operator} why={why} ask="Tell it to fetch no more?" act={() => post(`/api/v1/tasks/workers/${encodeURIComponent(row.wid)}/quiet`)} done={stats.again} />
          <Act label="End" disabled={!operator} why={why} ask="Tell it to end?" act={() => post(`/api/v1/tasks/workers/${encodeURIComponent(row.wid)}/terminate`)} done={stats.again} /></span> }]} /></Card>
    </>
  )
}
