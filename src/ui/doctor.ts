import type { Examination, Finding, Severity } from '../doctor/doctor.ts';
import { plural } from './render.ts';
import { type Look, oneLine, wrap } from './table.ts';

/** The findings, the worst first, then what could not be seen, and a line that counts. */
export function renderExamination(result: Examination, look: Look): string {
  const { chalk } = look;
  const { target, findings, unseen, sound, notApplicable, isSound } = result;
  const hidden = unseen.flatMap(({ topic, reason, remedy }) =>
    hang(chalk.dim('not seen'), `${topic}: ${reason}; ${remedy}`, look),
  );
  const counts = (['critical', 'warning', 'note'] as const)
    .map(
      (severity) =>
        [severity, findings.filter((each) => each.severity === severity).length] as const,
    )
    .flatMap(([severity, count]) =>
      count === 0 ? [] : [severity === 'critical' ? `${count} critical` : plural(count, severity)],
    );
  const rest = [
    `${plural(sound.length, 'rule')} found nothing`,
    ...(notApplicable.length > 0 ? [`${notApplicable.length} do not apply`] : []),
    ...(unseen.length > 0
      ? [`${unseen.flatMap(({ rules }) => rules).length} not seen in full`]
      : []),
  ];
  const asSeen = unseen.length > 0 ? 'sound as far as seen' : 'sound';
  const verdict = isSound ? chalk.green(asSeen) : chalk.yellow('not sound');
  return `${[
    ...findings.flatMap((finding) => [...renderFinding(finding, look), '']),
    ...hidden,
    ...(hidden.length > 0 ? [''] : []),
    `${chalk.bold(`${target}: ${[...counts, ...rest].join(', ')}`)}: ${verdict}`,
  ].join('\n')}\n`;
}

function renderFinding(
  { rule, severity, message, evidence = [], hint }: Finding,
  look: Look,
): readonly string[] {
  const { chalk } = look;
  const paints: Readonly<Record<Severity, (text: string) => string>> = {
    critical: chalk.red,
    warning: chalk.yellow,
    note: chalk.cyan,
  };
  const margin = ' '.repeat(marginWidth);
  return [
    ...hang(paints[severity](severity.padEnd(8)), message, look, chalk.bold),
    ...evidence.flatMap((line) => hang(margin.slice(2), line, look)),
    ...hang(margin.slice(2), `do: ${hint}`, look, (text) =>
      text.replace(/^do:/, chalk.cyan('do:')),
    ),
    `${margin}${chalk.dim(`why: docs/doctor.md#${rule}`)}`,
  ];
}

const marginWidth = 10;

/** A text beside a mark of eight characters, broken at the width of the terminal. */
function hang(
  mark: string,
  text: string,
  { columns = Number.POSITIVE_INFINITY }: Look,
  paint: (text: string) => string = (line) => line,
): readonly string[] {
  const lines = wrap(oneLine(text), Math.max(20, columns - marginWidth));
  return lines.map(
    (line, at) => `${at === 0 ? `${mark}  ` : ' '.repeat(marginWidth)}${paint(line)}`,
  );
}
