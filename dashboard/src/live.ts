// The overview of each second: the first by a request, then over one stream for the whole page.
import { useEffect, useLayoutEffect, useState } from 'preact/hooks'
import { get } from './api'

export interface Latency { mean: number; p50: number; p90: number; p95: number; p99: number }
export interface Minute {
  requests: { total: number; errors: number; error_rate: number; per_second: number; latency_ms: Latency }
  routes: { route: string; requests: number; latency_ms: Latency }[]
  cache: { lookups: number; hit_rate: number | null }
  system: Record<string, { mean: number; max: number } | null>
}
export interface Alert { name: string; severity: string; state: string; since: number; value: number | null; summary: string; silenced_until?: number | null; muted_by?: string | null }
export interface Objective { name: string; unit: string; objective: number; value: number | null; met: boolean | null; figure?: string; window_seconds?: number; routes?: string[] }
export interface Change { time: number; kind: string; text: string }
export interface Now {
  time: number; version: string; stage: string; ready: boolean; state: string; uptime_seconds: number
  health: { component: string; state: string; reason: string }[]
  requests: { total: number; errors: number; in_flight: number }; connections: number
  last_minute: Minute | null
  ceilings: { name: string; used: number; limit: number; ratio: number; advice: string; full_in_seconds?: number | null }[]
  explanations?: { latency: string; errors: string; cache: string; database: string }
  objectives?: Objective[]
  alerts?: { firing: number; pending: number; list: Alert[] }
  changes: Change[]
}

type Listener = (now: Now) => void
const listeners = new Set<Listener>()
let latest: Now | null = null
let source: EventSource | null = null

function tell(now: Now) {
  if (latest && now.time < latest.time) return
  latest = now
  listeners.forEach((listener) => listener(now))
}

// A browser has six connections for one address, and each stream holds one: only a page that somebody sees has a stream.
let wanted = false
function open() {
  if (!wanted || source || document.hidden) return
  get<Now>('/api/v1/now').then(tell, () => {})
  source = new EventSource('/api/v1/live')
  source.onmessage = (event) => tell(JSON.parse(event.data))
  source.onerror = () => { get('/api/v1/session').catch(() => {}) } // a session that has ended is noticed here
}
function shut() {
  source?.close()
  source = null
}
addEventListener('pagehide', shut)
addEventListener('pageshow', open)
document.addEventListener('visibilitychange', () => { if (document.hidden) shut(); else open() })

export function begin() {
  wanted = true
  open()
}
export function end() {
  wanted = false
  shut()
  latest = null
}

export function useNow(): Now | null {
  const [now, set] = useState(latest)
  useLayoutEffect(() => {
    listeners.add(set)
    if (latest) set(latest) // what came since this was rendered
    return () => { listeners.delete(set) }
  }, [])
  return now
}

// What `ask` gives, asked again every `seconds`; the last good answer stays when one fails.
export function usePoll<T>(ask: () => Promise<T>, keys: unknown[], seconds = 2): { value: T | null; error: string; again: () => void } {
  const [value, set] = useState<T | null>(null)
  const [error, fail] = useState('')
  const [turn, next] = useState(0)
  useEffect(() => {
    let ended = false
    let timer = 0
    const run = async () => {
      try {
        const got = await ask()
        if (!ended) { set(got); fail('') }
      } catch (problem) {
        if (!ended) fail(String((problem as Error).message))
      }
      if (!ended) timer = window.setTimeout(run, seconds * 1000)
    }
    run()
    return () => { ended = true; clearTimeout(timer) }
  }, [...keys, turn])
  return { value, error, again: () => next(turn + 1) }
}
