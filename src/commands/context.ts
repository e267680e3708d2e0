import type { Output, OutputFlags } from '../ui/output.ts';

/** What a command works with besides its own flags. */
export interface Context {
  /** Opened by the command once it knows its flags; `main` reports errors through the same. */
  readonly open: (flags: OutputFlags) => Promise<Output>;
  /** Fires on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** The answer is no: the process ends with exit code 1. */
  readonly answerNo: () => void;
}
