// The dashboard: signing in, the frame around the pages, which page is shown.
import { type ComponentType, render } from 'preact'
import { useEffect, useLayoutEffect, useState } from 'preact/hooks'
import { call, get, onSignedOut, post, type Who } from './api'
import { begin, end, useNow } from './live'
import { Badge } from './parts'
import { Overview } from './pages/overview'
import { Traffic } from './pages/traffic'
import { Cache } from './pages/cache'
import { Limits } from './pages/limits'
import { Sql } from './pages/sql'
import { Realtime } from './pages/realtime'
import { Tasks } from './pages/tasks'
import { Alerts } from './pages/alerts'
import { System } from './pages/system'
import { Settings } from './pages/settings'
import { Logs } from './pages/logs'
import { Audit } from './pages/audit'
import './style.css'

export interface PageProps { who: Who; range: string }
const pages: [string, string, ComponentType<PageProps>][] = [
  ['overview', 'Overview', Overview], ['traffic', 'Traffic', Traffic], ['cache', 'Cache', Cache], ['limits', 'Limits', Limits], ['sql', 'SQL', Sql],
  ['realtime', 'Real-time', Realtime], ['tasks', 'Tasks', Tasks], ['alerts', 'Alerts', Alerts], ['system', 'System', System], ['settings', 'Settings', Settings], ['logs', 'Logs', Logs], ['audit', 'Audit log', Audit],
]
const ranges = [['10m', '10 minutes'], ['1h', '1 hour'], ['6h', '6 hours'], ['2d', '2 days'], ['30d', '30 days']]

function SignIn(props: { signed: (who: Who) => void }) {
  const [error, fail] = useState('')
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const token = String(new FormData(event.target as HTMLFormElement).get('token') ?? '').trim()
    try { props.signed(await post<Who>('/api/v1/session', { token })) } catch (problem) { fail((problem as Error).message) }
  }
  return (
    <main class="sign-in">
      <h1>Headroom</h1>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <input id="token" name="token" type="password" autocomplete="off" autofocus required />
        <button class="primary" type="submit">Sign in</button>
        <p class="note">Made by <code>headroom token create <span>--name you</span> <span>--role viewer</span></code></p>
        {error && <p class="bad-text" role="alert">{error}</p>}
      </form>
    </main>
  )
}

function useHash() {
  const read = () => location.hash.replace(/^#\/?/, '') || 'overview'
  const [hash, set] = useState(read())
  useEffect(() => {
    const changed = () => set(read())
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])
  return hash
}

function Frame(props: { who: Who; out: () => void; said: string }) {
  const hash = useHash()
  const now = useNow()
  const [range, setRange] = useState('10m')
  const [name, title, Page] = pages.find(([name]) => name === hash) ?? pages[0]
  useEffect(() => { document.title = `${title} · Headroom` }, [title])
  const firing = now?.alerts?.firing ?? 0
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus() }}>Skip to the page</a>
      <nav aria-label="Pages">
        <div class="brand">Headroom</div>
        <ul>
          {pages.map(([each, text]) => (
            <li><a href={`#/${each}`} aria-current={each === name ? 'page' : undefined}>{text}{each === 'alerts' && firing > 0 && <span class="count" aria-label={`${firing} firing`}>{firing}</span>}</a></li>
          ))}
        </ul>
      </nav>
      <div class="body">
        <header class="top">
          <h1>{title}</h1>
          {now && <Badge state={now.state === 'ok' && firing > 0 ? 'degraded' : now.state}>{now.ready ? (now.state !== 'ok' ? now.state : firing > 0 ? 'alert' : 'healthy') : now.stage}</Badge>}
          <span class="space" />
          <label>Range <select value={range} onChange={(event) => setRange((event.target as HTMLSelectElement).value)}>{ranges.map(([value, text]) => <option value={value}>{text}</option>)}</select></label>
          <span class="who">{props.who.name} ({props.who.role})</span>
          <button onClick={props.out}>Sign out</button>
        </header>
        {props.said && <p class="verdict bad" role="alert">{props.said}</p>}
        <main id="main" tabIndex={-1}><Page who={props.who} range={range} /></main>
        <footer>{now ? `Headroom ${now.version}` : 'Headroom'}</footer>
      </div>
    </div>
  )
}

function App() {
  const [who, set] = useState<Who | null | undefined>(undefined)
  const [said, say] = useState('')
  const out = async () => {
    try {
      await call('DELETE', '/api/v1/session')
      end()
      say('')
      set(null)
    } catch (problem) { say(`You are still signed in, here and wherever this session is used: it could not be ended (${(problem as Error).message}). Try again.`) }
  }
  // Before the browser paints what is not there yet: the first plot stands frames sooner.
  useLayoutEffect(() => {
    onSignedOut(() => { end(); say(''); set(null) })
    get<Who>('/api/v1/session').then(set, () => set(null))
  }, [])
  useLayoutEffect(() => { if (who) begin() }, [who])
  if (who === undefined) return null
  if (who === null) return <SignIn signed={set} />
  return <Frame who={who} out={out} said={said} />
}

render(<App />, document.getElementById('app')!)
