/** Facts that the server reported when the connection opened. */
export interface ServerFacts {
  readonly version: number;
  readonly database: string;
  readonly user: string;
  readonly isReadOnly: boolean;
  /** It replays the WAL of another server. */
  readonly isStandby: boolean;
  /** Who made a server read-only that is no standby: `user`, `database`, `configuration file`, … */
  readonly readOnlySource?: string | null;
  /** True behind a pooler: it reports another process id than the backend has. */
  readonly isPooled: boolean;
}
