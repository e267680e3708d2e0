import type { Ora } from 'ora';
import { describeHolder } from '../runtime/errors.ts';
import type {
  OnProgress,
  ProgressEvent,
  ProgressSeeder,
  ProgressStep,
} from '../runtime/progress.ts';
import { formatCount, renderBar } from './bar.ts';
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
      const busy = busyText(event, look);
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
function busyText(event: ProgressEvent, look: Look): string | undefined {
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
    case 'market-page':
      return `asking CoinGecko${event.pages > 1 ? `, page ${event.page} of ${event.pages}` : ''}`;
    case 'market-retried':
      return `waiting ${formatDuration(event.delayMs)} for CoinGecko: ${event.reason}`;
    case 'seeder-started':
      return nameSeeder(event.seeder);
    case 'rows-loaded':
      return loadText(event, look);
    case 'template-started':
      return 'making the template of the test databases';
    case 'test-server':
    case 'template-finished':
    case 'step-finished':
    case 'seeder-finished':
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
    case 'market-retried':
      return `${event.reason}; asking again in ${formatDuration(event.delayMs)}`;
    case 'seeder-finished': {
      const rows = `${formatCount(event.rows)} ${event.rows === 1 ? 'row' : 'rows'}`;
      const took = chalk.dim(formatDuration(event.durationMs).padStart(8));
      return `${chalk.green('seed')} ${event.seeder.name.padEnd(24)} ${rows.padStart(14)}  ${took}`;
    }
    case 'test-server':
      return serverText(event);
    case 'template-finished': {
      const took = formatDuration(event.durationMs);
      return `${chalk.green('made')} the template ${event.key.slice(0, 8)} of the test databases in ${took}`;
    }
    case 'step-started':
    case 'market-page':
    case 'seeder-started':
    case 'rows-loaded':
    case 'template-started':
      return undefined;
    default:
      return event satisfies never;
  }
}

function serverText(event: ProgressEvent & { readonly kind: 'test-server' }): string {
  const { origin, target, container } = event;
  const whence = origin === 'option' ? '--url' : origin === 'container' ? 'a container' : origin;
  const end =
    container === undefined ? '' : `, left running; end it with: docker rm --force ${container}`;
  return `server: ${target} (${whence}${end})`;
}

function nameStep({ version, description, index, total }: ProgressStep): string {
  return `${version} ${description} (${index} of ${total})`;
}

function nameSeeder({ name, index, total }: ProgressSeeder): string {
  return `${name} (${index} of ${total})`;
}

/** The spinner and a space stand before it. */
const spinnerWidth = 3;

function loadText(
  { seeder, rows, total, elapsedMs }: ProgressEvent & { readonly kind: 'rows-loaded' },
  look: Look,
): string {
  const name = `${seeder.name} `;
  const columns = (look.columns ?? 80) - name.length - spinnerWidth;
  return `${name}${renderBar({ rows, total, elapsedMs }, { ...look, columns })}`;
}
