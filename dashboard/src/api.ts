// Requests to the admin API with the session's cookie; who is signed in.

export type Role = 'viewer' | 'operator' | 'admin'
export interface Who { name: string; role: Role }

export class Refused extends Error {
  constructor(readonly status: number, message: string) { super(message) }
}

let signedOut = () => {}
export function onSignedOut(act: () => void) { signedOut = act }

export async function call<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, credentials: 'same-origin', cache: 'no-store' }
  if (body !== undefined) {
    init.headers = { 'Content-Type': 'application/json' }
    init.body = JSON.stringify(body)
  }
  const answer = await fetch(path, init)
  const text = await answer.text()
  let value: any = null
  try { value = text ? JSON.parse(text) : null } catch { /* an error page of somebody between */ }
  if (answer.ok) return value as T
  if (answer.status === 401 && !(path === '/api/v1/session' && method === 'POST')) signedOut()
  throw new Refused(answer.status, value?.error?.message ?? `the answer was ${answer.status}`)
}
export const get = <T = any>(path: string) => call<T>('GET', path)
export const post = <T = any>(path: string, body?: unknown) => call<T>('POST', path, body)

const rank: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 }
export const may = (who: Who, role: Role) => rank[who.role] >= rank[role]

// --- metrics over time ---
export interface Curve { labels: Record<string, string>; rate?: (number | null)[]; mean?: (number | null)[]; min?: (number | null)[]; max?: (number | null)[]
  p50?: (number | null)[]; p90?: (number | null)[]; p95?: (number | null)[]; p99?: (number | null)[] }
export interface History { kind: string; from: number; step: number; points: number; series: Curve[] }
export async function history(metric: string, range: string, options: { by?: string; where?: string } = {}): Promise<History | null> {
  const query = new URLSearchParams({ metric, from: `-${range}`, by: options.by ?? 'none' })
  if (options.where) query.set('where', options.where)
  try { return await get<History>(`/api/v1/metrics/query?${query}`) } catch (error) {
    if (error instanceof Refused && error.status === 404) return null // nothing has been counted yet
    throw error
  }
}
