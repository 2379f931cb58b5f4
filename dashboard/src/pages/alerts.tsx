import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { call, get, may, post, Refused } from '../api'
import { ms, number, percent, span, when } from '../format'
import { useNow, usePoll } from '../live'
import { Act, Badge, Card, needs, Problem, Table } from '../parts'

interface Rule { name: string; state: string; severity: string; value: number | null; since: number; summary: string; expression: string; silenced_until: number | null; muted_by: string | null }
interface Event { at: number; name: string; what: string; severity: string; value: number | null }
interface All { rules: Rule[]; history: Event[] }

const order = ['firing', 'pending', 'no_data', 'ok']
const lengths = [['15m', '15 minutes'], ['1h', '1 hour'], ['8h', '8 hours'], ['1d', '1 day'], ['7d', '7 days']]

// A rule's value in the unit of what it looks at.
function reading(value: number | null, expression: string): string {
  if (value === null) return '–'
  if (/^(share|miss_free) of/.test(expression)) return percent(value)
  if (/_ratio\b/.test(expression)) return percent(value * 100)
  if (/_seconds\b/.test(expression) && !/^rate of/.test(expression)) return ms(value * 1000)
  return number(value, 2)
}

export function Alerts(props: PageProps) {
  const now = useNow()
  const [length, choose] = useState('1h')
  const { value, error, again } = usePoll(() => get<All>('/api/v1/alerts').catch((problem) => { if (problem instanceof Refused && problem.status === 404) return { rules: [], history: [] }; throw problem }), [])
  const operator = may(props.who, 'operator')
  const time = now?.time ?? Date.now() / 1000
  const rules = [...(value?.rules ?? [])].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
  const silenced = rules.filter((rule) => rule.silenced_until)
  const by = Object.fromEntries(rules.map((rule) => [rule.name, rule.expression]))
  const path = (row: Rule) => `/api/v1/alerts/${encodeURIComponent(row.name)}/silence`
  return (
    <>
      <Problem text={error} />
      <Card title="Silences" wide note="A silenced rule goes on being watched; nobody is told. A silence outlives a restart.">
        <Table label="Silences" rows={silenced} id={(row) => row.name} none="None." columns={[
          { head: 'Alert', cell: (row) => row.name }, { head: 'Ends', cell: (row) => `${when(row.silenced_until)} (in ${span((row.silenced_until ?? 0) - time)})` }, { head: 'State', cell: (row) => <Badge state={row.state === 'firing' ? row.severity : row.state}>{row.state}</Badge> },
          { head: 'Act', cell: (row) => <Act label="End silence" disabled={!operator} why={needs('operator')} act={() => call('DELETE', path(row))} done={again} /> }]} />
      </Card>
      <Card title="Rules" wide note="What fires comes first." actions={<label>Silence for <select value={length} disabled={!operator} onChange={(event) => choose((event.target as HTMLSelectElement).value)}>{lengths.map(([value, text]) => <option value={value}>{text}</option>)}</select></label>}>
        <Table label="Rules" rows={rules} id={(row) => row.name} none="No rules: monitor.alerting.enabled is false." columns={[
          { head: 'Alert', cell: (row) => row.name },
          { head: 'State', cell: (row) => <><Badge state={row.state === 'firing' ? row.severity : row.state}>{row.state === 'firing' ? `${row.severity}, fires` : row.state.replace('_', ' ')}</Badge>{row.silenced_until && <> <Badge state="silenced" /></>}{row.muted_by && <> <Badge state="silenced">muted by {row.muted_by}</Badge></>}</> },
          { head: 'Since', number: true, cell: (row) => (row.since ? span(time - row.since) : '–') }, { head: 'Now', number: true, cell: (row) => reading(row.value, row.expression) },
          { head: 'Meaning', words: true, cell: (row) => <>{row.summary}<br /><span class="note">{row.expression}</span></> },
          { head: 'Act', cell: (row) => (row.silenced_until ? '' : <Act label="Silence" disabled={!operator} why={needs('operator')} act={() => post(path(row), { for: length })} done={again} />) }]} />
      </Card>
      <Card title="History" wide><Table label="History" rows={value?.history ?? []} none="Nothing has fired yet." columns={[{ head: 'When', cell: (row) => when(row.at) }, { head: 'Alert', cell: (row) => row.name }, { head: 'What', cell: (row) => <Badge state={row.what === 'fired' ? row.severity : row.what}>{row.what === 'fired' ? `fired (${row.severity})` : row.what}</Badge> }, { head: 'Value', number: true, cell: (row) => reading(row.value, by[row.name] ?? '') }]} /></Card>
    </>
  )
}
