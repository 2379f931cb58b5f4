// A plot of metrics over time: history by range, refreshed as time goes on.
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { type Curve, history } from './api'

export interface Line { label: string; metric: string; figure: keyof Omit<Curve, 'labels'>; where?: string; scale?: number }
type Column = (number | null)[]

const colours = ['--line-1', '--line-2', '--line-3', '--line-4', '--line-5', '--line-6', '--line-7', '--line-8']
const style = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

interface Plotted { times: number[]; columns: Column[]; labels: string[] }

async function fetchLines(lines: Line[], range: string): Promise<Plotted> {
  const answers = await Promise.all(lines.map((line) => history(line.metric, range, { where: line.where })))
  const first = answers.find((answer) => answer)
  if (!first) return { times: [], columns: lines.map(() => []), labels: lines.map((line) => line.label) }
  const times = Array.from({ length: first.points }, (_, i) => first.from + i * first.step)
  const columns = answers.map((answer, i) => {
    const values = answer?.series[0]?.[lines[i].figure] ?? []
    const scale = lines[i].scale ?? 1
    const none = lines[i].figure === 'rate' ? 0 : null // nobody came: a rate is 0, a time is not known
    return times.map((_, at) => (values[at] === null || values[at] === undefined ? none : (values[at] as number) * scale))
  })
  return { times, columns, labels: lines.map((line) => line.label) }
}
async function fetchBy(line: Line, by: string, range: string): Promise<Plotted> {
  const answer = await history(line.metric, range, { by, where: line.where })
  if (!answer) return { times: [], columns: [], labels: [] }
  const times = Array.from({ length: answer.points }, (_, i) => answer.from + i * answer.step)
  const sum = (curve: Curve) => (curve[line.figure] ?? []).reduce<number>((all, value) => all + (value ?? 0), 0)
  const top = answer.series.filter((curve) => sum(curve) > 0).sort((a, b) => sum(b) - sum(a)).slice(0, 8)
  return { times, labels: top.map((curve) => Object.values(curve.labels).join(' ') || line.label),
    columns: top.map((curve) => times.map((_, at) => ((curve[line.figure]?.[at] ?? (line.figure === 'rate' ? 0 : null)) as number | null)).map((value) => (value === null ? null : value * (line.scale ?? 1)))) }
}

// Values without neighbours, which no line shows.
function alone(plot: uPlot, series: number): number[] {
  const values = plot.data[series]
  const [first, last] = plot.series[0].idxs ?? [0, values.length - 1]
  const found: number[] = []
  for (let i = first; i <= last; i++) if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i)
  return found
}
const times = (plot: uPlot, ticks: number[]) => {
  const wide = (plot.scales.x.max ?? 0) - (plot.scales.x.min ?? 0) > 172800
  return ticks.map((tick) => { const at = new Date(tick * 1000); return wide ? at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) : at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' }) })
}

function options(width: number, labels: string[], show: (value: number | null) => string): uPlot.Options {
  const axis = { stroke: style('--muted'), grid: { stroke: style('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
  return {
    width, height: 170, cursor: { y: false }, legend: { live: true },
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max((high ?? 0) * 1.1, 1e-6)] } },
    axes: [{ ...axis, space: 70, values: times }, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => show(tick)) }],
    series: [{ value: '{HH}:{mm}:{ss}' }, ...labels.map((label, i) => ({ label, stroke: style(colours[i % colours.length]), width: 1.5, points: { show: true, size: 3, filter: alone }, spanGaps: false, value: (_: uPlot, value: number | null) => show(value) }))],
  }
}

export function Chart(props: { label: string; lines: Line[]; by?: string; range: string; show: (value: number | null) => string }) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const shape = useRef('')
  const [summary, say] = useState('')
  const [theme, setTheme] = useState(0)
  const key = JSON.stringify([props.lines, props.by, props.range])
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const turn = () => setTheme((n) => n + 1)
    dark.addEventListener('change', turn)
    return () => dark.removeEventListener('change', turn)
  }, [])
  useEffect(() => {
    let ended = false
    let timer = 0
    shape.current = ''
    const draw = (got: Plotted) => {
      const box = place.current
      if (!box) return
      const data = [got.times, ...got.columns] as uPlot.AlignedData
      const wanted = got.labels.join('\n')
      if (!plot.current || shape.current !== wanted) {
        plot.current?.destroy()
        plot.current = new uPlot(options(box.clientWidth, got.labels, props.show), data, box)
        shape.current = wanted
      } else plot.current.setData(data)
      say(got.labels.map((label, i) => { const known = got.columns[i]?.filter((value) => value !== null) ?? []; return `${label}: ${props.show(known.length ? (known[known.length - 1] as number) : null)} now` }).join('; '))
    }
    const run = async () => {
      try {
        const got = await (props.by ? fetchBy(props.lines[0], props.by, props.range) : fetchLines(props.lines, props.range))
        if (!ended) draw(got)
      } catch { /* the next turn tries again */ }
      if (!ended) timer = window.setTimeout(run, props.range.endsWith('m') ? 1000 : 15000)
    }
    run()
    const watch = new ResizeObserver(() => { if (place.current && plot.current) plot.current.setSize({ width: place.current.clientWidth, height: 170 }) })
    if (place.current) watch.observe(place.current)
    return () => { ended = true; clearTimeout(timer); watch.disconnect(); plot.current?.destroy(); plot.current = null }
  }, [key, theme])
  return (
    <figure class="chart">
      <figcaption class="unseen">{props.label}</figcaption>
      <div ref={place} role="img" aria-label={`${props.label}. ${summary}`} />
    </figure>
  )
}
