// What pages are made of.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { percent } from './format'

export function Card(props: { title: string; note?: string; actions?: ComponentChildren; children: ComponentChildren; wide?: boolean }) {
  return (
    <section class={props.wide ? 'card wide' : 'card'}>
      <header><h2>{props.title}</h2>{props.actions}</header>
      {props.note && <p class="note">{props.note}</p>}
      {props.children}
    </section>
  )
}

export function Tile(props: { label: string; value: string; note?: string; state?: string }) {
  return (
    <div class={`tile ${props.state ?? ''}`}>
      <div class="label">{props.label}</div>
      <div class="value">{props.value}</div>
      {props.note && <div class="note">{props.note}</div>}
    </div>
  )
}
export const Tiles = (props: { children: ComponentChildren }) => <div class="tiles">{props.children}</div>

export function Badge(props: { state: string; children?: ComponentChildren }) {
  const kind: Record<string, string> = { ok: 'good', up: 'good', healthy: 'good', met: 'good', degraded: 'warn', draining: 'warn', warning: 'warn', pending: 'warn', paused: 'warn', missed: 'bad',
    failed: 'bad', down: 'bad', unavailable: 'bad', full: 'bad', bypassed: 'warn', silenced: 'warn', rested: 'warn', not_cached: 'warn', cached: 'good', enforce: 'good', shadow: 'warn', quiet: 'warn', lagging: 'warn', critical: 'bad', firing: 'bad', ejected: 'bad', unhealthy: 'bad' }
  return <span class={`badge ${kind[props.state] ?? ''}`}>{props.children ?? props.state}</span>
}

// A share of a limit as a bar: filled is used.
export function Meter(props: { label: string; ratio: number; text: string; note?: string }) {
  const share = Math.max(0, Math.min(1, props.ratio))
  const state = share >= 0.9 ? 'bad' : share >= 0.7 ? 'warn' : 'good'
  return (
    <div class="meter">
      <div class="meter-head"><span>{props.label}</span><span class="figure">{props.text}</span><span class="figure">{percent(share * 100, 1)}</span></div>
      <div class="bar" role="meter" aria-label={props.label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 1000) / 10}><div class={state} style={{ width: `${share * 100}%` }} /></div>
      {props.note && share >= 0.7 && <p class="note">{props.note}</p>}
    </div>
  )
}

// `words`: sentences, which are given room; `number`: at the right.
export interface Column<T> { head: string; cell: (row: T) => ComponentChildren; number?: boolean; words?: boolean }
export function Table<T>(props: { label: string; columns: Column<T>[]; rows: T[]; none?: string; id?: (row: T) => string }) {
  if (props.rows.length === 0) return <p class="note">{props.none ?? 'None.'}</p>
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead><tr>{props.columns.map((column) => <th scope="col" class={column.number ? 'right' : ''}>{column.head}</th>)}</tr></thead>
        <tbody>
          {props.rows.map((row, i) => (
            <tr key={props.id ? props.id(row) : i}>{props.columns.map((column) => <td class={column.number ? 'right' : column.words ? 'words' : ''}>{column.cell(row)}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

// A button that says what became of its act; one that changes much asks first.
export function Act(props: { label: string; act: () => Promise<unknown>; ask?: string; done?: () => void; disabled?: boolean; why?: string }) {
  const [state, set] = useState<'' | 'ask' | 'busy' | 'done' | string>('')
  const sure = useRef<HTMLButtonElement>(null)
  useEffect(() => { if (state === 'ask') sure.current?.focus() }, [state])
  const run = async () => {
    set('busy')
    try {
      await props.act()
      set('done')
      props.done?.()
      setTimeout(() => set(''), 1500)
    } catch (error) { set(`!${(error as Error).message}`) }
  }
  if (state === 'ask')
    return <span class="ask"><span>{props.ask}</span> <button ref={sure} class="danger" onClick={run}>Yes</button> <button onClick={() => set('')}>No</button></span>
  return (
    <span>
      <button disabled={props.disabled || state === 'busy'} title={props.disabled ? props.why : undefined} onClick={() => (props.ask ? set('ask') : run())}>{state === 'done' ? 'Done' : props.label}</button>
      {state.startsWith('!') && <span class="bad-text" role="alert"> {state.slice(1)}</span>}
    </span>
  )
}

export const needs = (role: string) => `This needs the role ${role}.`
export const Problem = (props: { text: string }) => (props.text ? <p class="bad-text" role="alert">{props.text}</p> : null)
export const NotConfigured = (props: { what: string; how: string }) => <Card title={props.what}><p>Not configured. {props.how}</p></Card>
