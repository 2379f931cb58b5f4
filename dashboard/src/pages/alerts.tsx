import type { PageProps } from '../main'
import { call, get, may, post, Refused } from '../api'
import { number, span } from '../format'
import { useNow, usePoll } from '../live'
import { Act, Badge, Card, Problem, Table } from '../parts'

interface Rule { name: string; state: string; severity: string; value: number | null; since: number; summary: string; expression: string; silenced_until: number | null }
interface Event { at: number; name: string; what: string; severity: string; value: number | null }
interface All { rules: Rule[]; history: Event[] }

export function Alerts(props: PageProps) {
  const now = useNow()
  const { value, error, again } = usePoll(() => get<All>('/api/v1/alerts').catch((problem) => { if (problem instanceof Refused && problem.status === 404) return { rules: [], history: [] }; throw problem }), [])
  const operator = may(props.who, 'operator')
  const time = now?.time ?? Date.now() / 1000
  const order = ['firing', 'pending', 'no_data', 'ok']
  const rules = [...(value?.rules ?? [])].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
  return (
    <>
      <Problem text={error} />
      <Card title="Rules" wide note="What fires first. A silenced rule goes on being watched; nobody is told."><Table label="Rules" rows={rules} id={(row) => row.name} none="No rules." columns={[
        { head: 'Alert', cell: (row) => row.name },
        { head: 'State', cell: (row) => <><Badge state={row.state === 'firing' ? row.severity : row.state}>{row.state === 'firing' ? row.severity : row.state.replace('_', ' ')}</Badge>{row.silenced_until && <> <Badge state="paused">silenced</Badge></>}</> },
        { head: 'Since', number: true, cell: (row) => (row.since ? span(time - row.since) : '–') }, { head: 'Now', number: true, cell: (row) => number(row.value, 3) }, { head: 'Condition', cell: (row) => row.expression }, { head: 'Meaning', cell: (row) => row.summary },
        { head: 'Act', cell: (row) => (row.silenced_until
          ? <Act label="Unsilence" disabled={!operator} why="This needs the role operator." act={() => call('DELETE', `/api/v1/alerts/${encodeURIComponent(row.name)}/silence`)} done={again} />
          : <Act label="Silence 1 h" disabled={!operator} why="This needs the role operator." act={() => post(`/api/v1/alerts/${encodeURIComponent(row.name)}/silence`, { for: '1h' })} done={again} />) }]} /></Card>
      <Card title="History" wide><Table label="History" rows={value?.history ?? []} none="Nothing has fired yet." columns={[{ head: 'When', cell: (row) => new Date(row.at * 1000).toLocaleString('en-GB') }, { head: 'Alert', cell: (row) => row.name }, { head: 'What', cell: (row) => <Badge state={row.what === 'fired' ? row.severity : row.what}>{row.what === 'fired' ? `fired (${row.severity})` : row.what}</Badge> }, { head: 'Value', number: true, cell: (row) => number(row.value, 3) }]} /></Card>
    </>
  )
}
