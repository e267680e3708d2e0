import type { Ora } from 'ora';
import { describeHolder } from '../errors.ts';
import type { OnProgress, ProgressEvent, ProgressStep } from '../progress.ts';
import { formatDuration, type Look } from './render.ts';

export interface ProgressOutput {
  readonly onProgress: OnProgress;
  /** Takes the spinner off the screen. */
  readonly stop: () => void;
}

export interface ProgressOptions {
  readonly write: (line: string) => void;
  readonly look: Look;
  /** undefined: plain lines, for a pipe or CI. */
  readonly spinner: Ora | undefined;
  readonly isVerbose: boolean;
}

/** Progress as lines, one for each step that is done; on a terminal with a spinner below them. */
export function showProgress({ write, look, spinner, isVerbose }: ProgressOptions): ProgressOutput {
  const line = (text: string) => {
    const isSpinning = spinner?.isSpinning ?? false;
    if (isSpinning) spinner?.stop();
    write(`${text}\n`);
    if (isSpinning) spinner?.start();
  };
  return {
    onProgress: (event) => {
      const busy = busyText(event);
      if (busy !== undefined && spinner) {
        spinner.text = busy;
        if (!spinner.isSpinning) spinner.start();
      }
      const text = lineText(event, { look, isVerbose, isTerminal: spinner !== undefined });
      if (text !== undefined) line(text);
    },
    stop: () => spinner?.stop(),
  };
}

/** What a spinner says meanwhile. */
function busyText(event: ProgressEvent): string | undefined {
  switch (event.kind) {
    case 'connected':
      return `connected to ${event.target}`;
    case 'waiting-for-server':
      return `waiting for the server: ${event.reason}`;
    case 'waiting-for-lock':
      return 'waiting for another run to end';
    case 'step-started':
      return nameStep(event.step);
    case 'statement-started':
      return `${nameStep(event.step)}, statement ${event.position + 1}`;
    case 'step-retried':
      return `${nameStep(event.step)}, waiting for a table lock`;
    case 'step-finished':
    case 'notice':
      return undefined;
    default:
      return event satisfies never;
  }
}

interface LineOptions {
  readonly look: Look;
  readonly isVerbose: boolean;
  readonly isTerminal: boolean;
}

/** What stays on the screen, or goes into a log. */
function lineText(
  event: ProgressEvent,
  { look: { chalk }, isVerbose, isTerminal }: LineOptions,
): string | undefined {
  switch (event.kind) {
    case 'step-finished': {
      const { direction, version, description } = event.step;
      const way = (direction === 'up' ? chalk.green : chalk.yellow)(direction.padEnd(4));
      const took = chalk.dim(formatDuration(event.durationMs).padStart(8));
      return `${way} ${version}  ${took}  ${description}`;
    }
    case 'waiting-for-lock':
      return event.holder
        ? `waiting for another run: ${describeHolder(event.holder)}`
        : 'waiting for another run';
    case 'waiting-for-server':
      return isTerminal ? undefined : `waiting for the server: ${event.reason}`;
    case 'step-retried':
      return `${nameStep(event.step)}: ${event.reason}; trying again in ${formatDuration(event.delayMs)}`;
    case 'connected':
      return isVerbose ? chalk.dim(`connected to ${event.target}`) : undefined;
    case 'notice':
      if (event.severity === 'WARNING') return chalk.yellow(`warning: ${event.message}`);
      return isVerbose ? chalk.dim(`${event.severity.toLowerCase()}: ${event.message}`) : undefined;
    case 'statement-started':
      return isVerbose
        ? chalk.dim(`${nameStep(event.step)}: statement ${event.position + 1}`)
        : undefined;
    case 'step-started':
      return undefined;
    default:
      return event satisfies never;
  }
}

function nameStep({ version, description, index, total }: ProgressStep): string {
  return `${version} ${description} (${index} of ${total})`;
}
