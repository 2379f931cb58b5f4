export type State = 'connecting' | 'connected' | 'waiting' | 'failing' | 'closed'
export type Transport = 'socket' | 'events' | 'poll'

export interface Message {
  /** The app's own, or one of the hub's: subscribed, presence_joined, presence_left, missed, paused, error, lost. */
  type: string
  channel: string
  data?: unknown
  offset?: number
  priority?: 'normal' | 'critical'
  user_id?: string
  /** Of `subscribed` in a presence channel. */
  members?: { presence: { ids: string[]; hash: Record<string, unknown>; count: number } }
  /** Of `missed`. */
  messages?: number
  /** Of `missed` and `paused`: where it stands. */
  position?: string
}

export interface Options {
  /** Where the hub is; the default is /_headroom/realtime of the page's own origin. */
  url?: string | URL
  token?: string | (() => string | Promise<string>)
  transports?: Transport[]
  /** After how many that never opened 'failing' is told. */
  attempts?: number
  /** Of the back-off, in milliseconds. */
  base?: number
  cap?: number
}

export class Headroom {
  constructor(options?: Options)
  readonly state: State
  /** `detail`: the transport when connected, the milliseconds when waiting or failing. */
  onstate: (state: State, detail?: Transport | number) => void
  /** Gives what ends the subscription. */
  subscribe(channel: string, handler: (message: Message) => void): () => void
  /** Throws while there is no WebSocket. */
  publish(channel: string, event: string, data: unknown): void
  close(): void
}
