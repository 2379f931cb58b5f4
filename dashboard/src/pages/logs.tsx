import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { get, may } from '../api'
import { usePoll } from '../live'
import { Card, Problem } from '../parts'

export function Logs(props: PageProps) {
  const operator = may(props.who, 'operator')
  const [part, filter] = useState('')
  const { value, error } = usePoll(() => (operator ? get<{ lines: string[] }>('/api/v1/logs') : Promise.resolve({ lines: [] })), [operator])
  if (!operator) return <Card title="Logs"><p>Logs need the role operator; yours is {props.who.role}.</p></Card>
  const lines = (value?.lines ?? []).filter((line) => line.includes(part)).reverse()
  return (
    <Card title="Newest lines" wide note="The newest 500, the newest first; who changed what is in the audit log." actions={<label>Find <input value={part} onInput={(event) => filter((event.target as HTMLInputElement).value)} /></label>}>
      <Problem text={error} />
      <div class="log" tabIndex={0} role="region" aria-label="Log lines">{lines.map((line) => <div class={/ error /.test(line) ? 'bad-text' : / warn(ing)? /.test(line) ? 'warn-text' : ''}>{line}</div>)}{lines.length === 0 && <p class="note">Nothing yet.</p>}</div>
    </Card>
  )
}
