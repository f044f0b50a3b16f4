// What a running peer leaves in its data folder, so that commands find it.

export const RUNNING_FILE = 'running.json';

export interface Running {
  readonly pid: number;
  /** An address that works from this machine. */
  readonly http: string;
}
