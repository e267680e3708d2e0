import type { Examination, Finding, Severity } from '../doctor/doctor.ts';
import { plural } from './render.ts';
import type { Look } from './table.ts';

/** The findings, the worst first, then what could not be seen, and a line that counts. */
export function renderExamination(result: Examination, look: Look): string {
  const { chalk } = look;
  const { target, findings, unseen, sound, notApplicable, isSound } = result;
  const hidden = unseen.map(
    ({ topic, reason, remedy }) => `${chalk.dim('not seen')}  ${topic}: ${reason}; ${remedy}`,
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
  const indent = ' '.repeat(10);
  return [
    `${paints[severity](severity.padEnd(8))}  ${chalk.bold(message)}`,
    ...evidence.map((line) => `${indent}${line}`),
    `${indent}${chalk.cyan('do:')} ${hint}`,
    `${indent}${chalk.dim(`why: docs/doctor.md#${rule}`)}`,
  ];
}
