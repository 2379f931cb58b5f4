import type { PageProps } from '../main'
import { get } from '../api'
import { Chart } from '../chart'
import { count, number, percent, short } from '../format'
import { usePoll } from '../live'
import { Badge, Card, Problem, Table } from '../parts'

interface Subject { subject: string; tier: string; used: number; limit: number; allowed: number; refused: number }
interface Rule { name: string; mode: string; algorithm: string; rate: string; subject: string; allowed: number; refused: number; shadow_refused: number; refused_percent: number; subjects: number; capacity: number; top: Subject[] }

// What the rule does now, in one sentence.
function meaning(rule: Rule): string {
  const refused = rule.refused + rule.shadow_refused
  if (rule.allowed + refused === 0) return 'no request has met it yet'
  if (rule.mode === 'shadow') return refused ? `would have refused ${percent(rule.refused_percent, 1)}: look at its busiest before it is enforced` : 'would have refused nobody: it can be enforced'
  const first = rule.top.find((each) => each.used >= each.limit)
  return first ? `${first.subject} has used up its ${number(first.limit)}` : refused ? `${count(refused, 'request')} refused since the start; nobody is at the limit now` : 'nobody has been refused'
}

export function Limits(props: PageProps) {
  const { value, error } = usePoll(() => get<{ rules: Rule[] }>('/api/v1/limits?top=10'), [])
  const rules = value?.rules ?? []
  return (
    <>
      <Problem text={error} />
      <div class="grid">
        <Card title="Refused"><Chart label="Refused per second, by rule" range={props.range} show={short} by="rule" lines={[{ label: 'refused', metric: 'headroom_limit_refused_total', figure: 'rate' }]} /></Card>
        <Card title="Shadow" note="What shadow rules would refuse."><Chart label="Shadow refusals per second, by rule" range={props.range} show={short} by="rule" lines={[{ label: 'refused', metric: 'headroom_limit_shadow_refused_total', figure: 'rate' }]} /></Card>
      </div>
      <Card title="Rules" wide><Table label="Rules" rows={rules} id={(row) => row.name} none="No rule is set: [[limit.rules]]." columns={[
        { head: 'Rule', cell: (row) => row.name }, { head: 'Mode', cell: (row) => <Badge state={row.mode} /> }, { head: 'Rate', cell: (row) => `${row.rate} (${row.algorithm})` }, { head: 'By', cell: (row) => row.subject },
        { head: 'Allowed', number: true, cell: (row) => number(row.allowed) }, { head: 'Refused, or would be', number: true, cell: (row) => number(row.refused + row.shadow_refused) }, { head: 'Share', number: true, cell: (row) => percent(row.refused_percent, 2) },
        { head: 'Subjects', number: true, cell: (row) => `${number(row.subjects)} of ${number(row.capacity)}` },
        { head: 'In words', words: true, cell: (row) => meaning(row) }]} /></Card>
      {rules.filter((rule) => rule.top.length).map((rule) => (
        <Card key={rule.name} title={`Busiest of ${rule.name}`} wide><Table label={`Busiest of ${rule.name}`} rows={rule.top} id={(row) => row.subject} columns={[
          { head: 'Subject', cell: (row) => row.subject }, { head: 'Tier', cell: (row) => row.tier }, { head: 'Used', number: true, cell: (row) => `${number(row.used)} of ${number(row.limit)}` },
          { head: 'Allowed', number: true, cell: (row) => number(row.allowed) }, { head: 'Refused', number: true, cell: (row) => number(row.refused) }]} /></Card>
      ))}
    </>
  )
}
