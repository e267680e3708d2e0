import type { Sql } from 'postgres';
import { type Answer, type InspectOptions, inspect } from '../../src/inspect/inspect.ts';
import type { QuestionName } from '../../src/inspect/names.ts';
import { connect } from './databases.ts';

/** The answer to one question about the database. */
export async function answerOf(
  url: string,
  question: QuestionName,
  options: Partial<InspectOptions> = {},
): Promise<Answer> {
  const { answers } = await inspect({ ...options, target: url, questions: [question] });
  const [answer] = answers;
  if (!answer) throw new Error(`no answer to ${question}`);
  return answer;
}

/** The row of a table or index, by the column that names it. */
export function rowOf(answer: Answer, column: string, name: unknown) {
  return answer.rows.find((row) => row[column] === name);
}

/** Runs statements one after the other in a session whose counters reach the server before it ends. */
export async function inCountedSession(
  url: string,
  work: (sql: Sql) => Promise<unknown>,
): Promise<void> {
  const sql = connect(url, 1);
  try {
    await work(sql);
    await sql`select pg_stat_force_next_flush()`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
