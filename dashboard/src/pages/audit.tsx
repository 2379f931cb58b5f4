import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { get, may, Refused } from '../api'
import { when } from '../format'
import { usePoll } from '../live'
import { Badge, Card, needs, Problem, Table } from '../parts'

interface Entry { id: number; at: number; who: string; role: string; method: string; path: string; from: string; status: number; times: number }
interface Log { entries: Entry[]; next: number | null }

const page = 100

export function Audit(props: PageProps) {
  const admin = may(props.who, 'admin')
  const [before, go] = useState<number[]>([])
  const last = before[before.length - 1]
  const ask = () => get<Log>(`/api/v1/audit?limit=${page}${last ? `&before=${last}` : ''}`).catch((problem) => { if (problem instanceof Refused && problem.status === 404) return null; throw problem })
  const { value, error } = usePoll(() => (admin ? ask() : Promise.resolve(null)), [admin, last], 5)
  if (!admin) return <Card title="Audit log" wide><p>{needs('admin')} Yours is {props.who.role}.</p></Card>
  return (
    <Card title="Audit log" wide note="Who changed what, from where, and what came of it; also what was refused. It is kept on disk." actions={<span class="row">
      <button disabled={before.length === 0} onClick={() => go(before.slice(0, -1))}>Newer</button>
      <button disabled={!value?.next} onClick={() => value?.next && go([...before, value.next])}>Older</button></span>}>
      <Problem text={error} />
      <Table label="Audit log" rows={value?.entries ?? []} id={(row) => String(row.id)} none="Nobody has changed anything yet." columns={[
        { head: 'When', cell: (row) => <span class="nowrap">{when(row.at)}</span> }, { head: 'Who', cell: (row) => row.who || 'nobody' }, { head: 'Role', cell: (row) => row.role }, { head: 'Did', words: true, cell: (row) => <code class="query">{row.method} {row.path}</code> },
        { head: 'From', cell: (row) => row.from }, { head: 'Result', cell: (row) => <><Badge state={row.status < 400 ? 'ok' : 'failed'}>{row.status < 400 ? 'done' : row.status === 403 || row.status === 401 ? 'refused' : 'failed'} ({row.status})</Badge>{row.times > 1 && ` ${row.times} times`}</> }]} />
    </Card>
  )
}
