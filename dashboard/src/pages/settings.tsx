import type { PageProps } from '../main'
import { useState } from 'preact/hooks'
import { call, get, may, post } from '../api'
import { when } from '../format'
import { usePoll } from '../live'
import { Act, Card, Problem, Table } from '../parts'

interface Setting { name: string; value: unknown; origin: string; reload: string }
interface Token { name: string; role: string; created: string | null; expires: string | null; revoked: string | null; last_used: string | null }

export function Settings(props: PageProps) {
  const admin = may(props.who, 'admin')
  const [part, filter] = useState('')
  const [changed, only] = useState(false)
  const settings = usePoll(() => (admin ? get<{ settings: Setting[] }>('/api/v1/config') : Promise.resolve({ settings: [] })), [admin], 30)
  const tokens = usePoll(() => (admin ? get<{ tokens: Token[] }>('/api/v1/tokens') : Promise.resolve({ tokens: [] })), [admin], 30)
  if (!admin) return <Card title="Settings"><p>Settings and tokens need the role admin; yours is {props.who.role}.</p></Card>
  const rows = (settings.value?.settings ?? []).filter((row) => row.name.includes(part) && (!changed || row.origin !== 'default'))
  return (
    <>
      <Problem text={settings.error || tokens.error} />
      <Card title="Settings" wide note="Each value with where it comes from, secrets hidden. A reload reads the file again; what changes by a restart only is told then." actions={<span class="row">
        <label>Find <input value={part} onInput={(event) => filter((event.target as HTMLInputElement).value)} /></label>
        <label><input type="checkbox" checked={changed} onChange={(event) => only((event.target as HTMLInputElement).checked)} /> only what is set</label>
        <Act label="Reload" ask="Read the settings again?" act={() => post('/api/v1/reload')} done={settings.again} />
      </span>}>
        <Table label="Settings" rows={rows} id={(row) => row.name} columns={[{ head: 'Setting', cell: (row) => <code>{row.name}</code> }, { head: 'Value', words: true, cell: (row) => <code class="query">{JSON.stringify(row.value)}</code> }, { head: 'From', cell: (row) => (row.origin === 'default' ? <span class="note">default</span> : row.origin) }, { head: 'Changes by', cell: (row) => (row.reload === 'live' ? 'reload' : row.reload) }]} />
      </Card>
      <Card title="Tokens" wide><Table label="Tokens" rows={tokens.value?.tokens ?? []} id={(row) => row.name} none="None but those of the settings." columns={[
        { head: 'Name', cell: (row) => row.name }, { head: 'Role', cell: (row) => row.role }, { head: 'Created', cell: (row) => when(row.created) }, { head: 'Last used', cell: (row) => (row.last_used ? when(row.last_used) : 'never') }, { head: 'Expires', cell: (row) => (row.expires ? when(row.expires) : 'never') },
        { head: 'Act', cell: (row) => (row.revoked ? `revoked ${when(row.revoked)}` : <Act label="Revoke" ask={`Revoke ${row.name}?`} act={() => call('DELETE', `/api/v1/tokens/${encodeURIComponent(row.name)}`)} done={tokens.again} />) }]} /></Card>
    </>
  )
}
