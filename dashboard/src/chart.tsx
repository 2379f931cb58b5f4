// A plot of metrics over time: history by range, refreshed as time goes on, with marks where something was changed.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { type Curve, history } from './api'
import { bytes } from './format'
import { type Change, useNow } from './live'

export interface Line { label: string; metric: string; figure: keyof Omit<Curve, 'labels'>; where?: string; scale?: number }
type Column = (number | null)[]

const colours = ['--line-1', '--line-2', '--line-3', '--line-4', '--line-5', '--line-6', '--line-7', '--line-8']
const style = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const leastSpan = 60 // seconds shown at least

interface Plotted { times: number[]; columns: Column[]; labels: string[] }

// What was before anything was measured is not shown: a server that began a minute ago has a plot of a minute.
function cropped(times: number[], measured: Column[], columns: Column[], labels: string[]): Plotted {
  const first = times.findIndex((_, i) => measured.some((column) => column[i] !== null && column[i] !== undefined))
  if (first < 0) return { times: [], columns: columns.map(() => []), labels }
  const end = times[times.length - 1]
  let from = Math.max(0, first - 1)
  while (from > 0 && end - times[from] < leastSpan) from--
  // Nor is what has not been measured yet: the newest step has only begun.
  const nobody = measured.every((column) => column[times.length - 1] == null)
  const known = (column: Column) => column.map((value, at) => (at < first - 1 || (at === column.length - 1 && nobody) ? null : value))
  return { times: times.slice(from), columns: columns.map((column) => known(column).slice(from)), labels }
}
const scaled = (values: Column | undefined, times: number[], line: Line): Column => {
  const none = line.figure === 'rate' ? 0 : null // nobody came: a rate is 0, a time is not known
  return times.map((_, at) => { const value = values?.[at]; return value === null || value === undefined ? none : value * (line.scale ?? 1) })
}

async function fetchLines(lines: Line[], range: string): Promise<Plotted> {
  const answers = await Promise.all(lines.map((line) => history(line.metric, range, { where: line.where })))
  const labels = lines.map((line) => line.label)
  const first = answers.find((answer) => answer)
  if (!first) return { times: [], columns: lines.map(() => []), labels }
  const times = Array.from({ length: first.points }, (_, i) => first.from + i * first.step)
  const measured = answers.map((answer, i) => answer?.series[0]?.[lines[i].figure] ?? [])
  return cropped(times, measured, measured.map((values, i) => scaled(values, times, lines[i])), labels)
}
async function fetchBy(line: Line, by: string, range: string): Promise<Plotted> {
  const answer = await history(line.metric, range, { by, where: line.where })
  if (!answer) return { times: [], columns: [], labels: [] }
  const times = Array.from({ length: answer.points }, (_, i) => answer.from + i * answer.step)
  const sum = (curve: Curve) => (curve[line.figure] ?? []).reduce<number>((all, value) => all + (value ?? 0), 0)
  const top = answer.series.filter((curve) => sum(curve) > 0).sort((a, b) => sum(b) - sum(a)).slice(0, 8)
  const measured = top.map((curve) => curve[line.figure] ?? [])
  return cropped(times, measured, measured.map((values) => scaled(values, times, line)), top.map((curve) => Object.values(curve.labels).filter(Boolean).join(' ') || line.label))
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
  const span = (plot.scales.x.max ?? 0) - (plot.scales.x.min ?? 0)
  return ticks.map((tick) => {
    const at = new Date(tick * 1000)
    if (span > 172800) return at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
    return at.toLocaleTimeString('en-GB', span < 240 ? {} : { hour: '2-digit', minute: '2-digit' })
  })
}
const binary = Array.from({ length: 50 }, (_, i) => 2 ** i)

// A dashed line for each change within the plot.
function drawMarks(plot: uPlot, marks: Change[]) {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.strokeStyle = style('--muted')
  ctx.fillStyle = style('--muted')
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`
  ctx.textAlign = 'left'
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio])
  ctx.lineWidth = devicePixelRatio
  let free = -Infinity
  for (const mark of [...marks].reverse()) {
    const x = plot.valToPos(mark.time, 'x', true)
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    const wide = ctx.measureText(mark.kind).width
    const at = Math.min(x + 3 * devicePixelRatio, bbox.left + bbox.width - wide)
    if (at < free) continue
    ctx.fillText(mark.kind, at, bbox.top + 9 * devicePixelRatio)
    free = at + wide + 4 * devicePixelRatio
  }
  ctx.restore()
}

function options(width: number, labels: string[], show: (value: number | null) => string, marks: () => Change[]): uPlot.Options {
  const axis = { stroke: style('--muted'), grid: { stroke: style('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
  return {
    width, height: 170, cursor: { y: false }, legend: { live: true },
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high ? Math.max(high * 1.1, 1e-6) : 1] } },
    axes: [{ ...axis, space: 70, size: 26, values: times }, { ...axis, size: 62, ...(show === bytes ? { incrs: binary } : {}), values: (_, ticks) => ticks.map((tick) => show(tick)) }],
    series: [{ value: '{HH}:{mm}:{ss}' }, ...labels.map((label, i) => ({ label, stroke: style(colours[i % colours.length]), width: 1.5, points: { show: true, size: 3, filter: alone }, spanGaps: false, value: (_: uPlot, value: number | null) => show(value) }))],
    hooks: {
      draw: [(plot) => drawMarks(plot, marks())],
      // Without a pointer on it the legend says what is now.
      setCursor: [(plot) => { if (plot.cursor.idx === null || plot.cursor.idx === undefined) showNewest(plot) }],
    },
  }
}
function showNewest(plot: uPlot) {
  let last = plot.data[0].length - 1
  while (last > 0 && plot.data.slice(1).every((column) => column[last] == null)) last--
  if (last >= 0 && plot.legend.idxs?.[0] !== last) plot.setLegend({ idx: last }, false)
}

export function Chart(props: { label: string; lines: Line[]; by?: string; range: string; show: (value: number | null) => string; marks?: boolean }) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const shape = useRef('')
  const marks = useRef<Change[]>([])
  const now = useNow()
  marks.current = props.marks ? now?.changes ?? [] : []
  const [summary, say] = useState('')
  const [theme, setTheme] = useState(0)
  const key = JSON.stringify([props.lines, props.by, props.range])
  useEffect(() => {
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const turn = () => setTheme((n) => n + 1)
    dark.addEventListener('change', turn)
    return () => dark.removeEventListener('change', turn)
  }, [])
  useLayoutEffect(() => {
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
        plot.current = new uPlot(options(box.clientWidth, got.labels, props.show, () => marks.current), data, box)
        shape.current = wanted
      } else plot.current.setData(data)
      if (plot.current.cursor.left === undefined || plot.current.cursor.left < 0) showNewest(plot.current)
      if (got.times.length && !performance.getEntriesByName('first-plot').length) performance.mark('first-plot')
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
