// Figures as people read them.
export const number = (value: number | null | undefined, digits = 0) =>
  value === null || value === undefined || !isFinite(value) ? '–' : value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: 0 })
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined || !isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 1e9) return number(value / 1e9, 2) + ' G'
  if (size >= 1e6) return number(value / 1e6, 2) + ' M'
  if (size >= 1e4) return number(value / 1e3, 1) + ' k'
  return number(value, size < 10 ? 2 : size < 100 ? 1 : 0)
}
export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined || !isFinite(value)) return '–'
  if (value >= 10000) return number(value / 1000, 1) + ' s'
  return number(value, value < 10 ? 2 : value < 100 ? 1 : 0) + ' ms'
}
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !isFinite(value)) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++ }
  return number(value, value < 10 && unit > 0 ? 2 : value < 100 && unit > 0 ? 1 : 0) + ' ' + units[unit]
}
export const percent = (value: number | null | undefined, digits = 1) => (value === null || value === undefined ? '–' : number(value, digits) + ' %')
export function span(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 129600) return `${number(seconds / 3600, 1)} h`
  return `${number(seconds / 86400, 1)} d`
}
// A resource's amount in its own unit.
export const amount = (name: string, value: number) => (name === 'memory' || name === 'disk' ? bytes(value) : short(value))
// "1 connection", "2 connections".
export const count = (value: number | null | undefined, noun: string, nouns = noun + 's') => `${number(value)} ${value === 1 ? noun : nouns}`
// A moment as people say it: the time today, else the day too.
export function when(moment: string | number | null | undefined): string {
  if (moment === null || moment === undefined || moment === '') return '–'
  const at = new Date(typeof moment === 'number' ? moment * 1000 : moment)
  if (isNaN(at.getTime())) return String(moment)
  const time = at.toLocaleTimeString('en-GB')
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`
}
export const clock = (seconds: number) => new Date(seconds * 1000).toLocaleTimeString('en-GB')
