import type { TargetFlags } from '../config.ts';
import type { InspectOptions } from '../inspect/inspect.ts';
import { type QuestionName, questionTitles } from '../inspect/names.ts';
import { replaceFile, requireWritable } from '../runtime/files.ts';
import { renderInspection, renderInspectionPage, renderWritten } from '../ui/inspect.ts';
import { type Command, defineCommand, flag, type Group } from './command.ts';
import { onDatabase, targetFlags } from './flags.ts';
import { duration, positiveNumber } from './values.ts';

type InspectFlags = Omit<InspectOptions, 'target' | 'questions'> &
  TargetFlags & { readonly html?: string | undefined };

interface Subcommand {
  readonly name: QuestionName | 'all';
  readonly summary: string;
  /** Default: all. */
  readonly questions?: readonly QuestionName[];
  readonly examples: Command['examples'];
}

function inspectCommand({ name, summary, questions, examples }: Subcommand): Command {
  return defineCommand<InspectFlags>()({
    name,
    summary,
    flags: {
      html: flag('--html <file>', 'write a page to hand around, and print its name'),
      limit: flag(
        '--limit <n>',
        'the most rows of a table (default: 20; --json: all)',
        positiveNumber,
      ),
      timeoutMs: flag(
        '--timeout <time>',
        'how long a statement may run (default: 10s; coverage: 60s)',
        duration,
      ),
      ...targetFlags,
    },
    notes: [
      'It changes nothing, and runs on a standby. What the role cannot see, it says.',
      'Below each table: what to do about it.',
    ],
    examples,
    run: async ({ html, ...given }, tools) => {
      if (html !== undefined) requireWritable(html);
      const { inspect } = await import('../inspect/inspect.ts');
      const result = await inspect({ ...onDatabase(given, tools), questions });
      if (html === undefined) {
        tools.output.product(result, (all, look) => renderInspection(all, look));
        return;
      }
      replaceFile(html, renderInspectionPage(result));
      tools.output.result({ ...result, html }, renderWritten);
    },
  });
}

const names = Object.keys(questionTitles) as readonly QuestionName[];

export const inspectCommands: Group = {
  name: 'inspect',
  summary: 'show what the catalog and the statistics of a database say, and what to do',
  commands: [
    inspectCommand({
      name: 'all',
      summary: 'all of it, one after the other',
      examples: [
        ['cryptosense-db inspect all', 'every question'],
        ['cryptosense-db inspect all --html report.html', 'one page for a browser'],
      ],
    }),
    ...names.map((name) =>
      inspectCommand({
        name,
        summary: questionTitles[name],
        questions: [name],
        examples: [
          [`cryptosense-db inspect ${name}`, 'a table, and what to do'],
          [`cryptosense-db inspect ${name} --json`, 'every row, for a program'],
        ],
      }),
    ),
  ],
};
