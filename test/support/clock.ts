/**
 * Makes the server's clock of one database say what the expression says, so that hours pass without a wait. In the
 * expression, `real_now()` or `real_clock_timestamp()` is the clock of the machine. `run` runs statements as a superuser.
 */
export async function setClock(
  { run }: { readonly run: (...statements: readonly string[]) => Promise<unknown> },
  expression: string,
  clock: 'now' | 'clock_timestamp' = 'now',
): Promise<void> {
  await run(
    `do $$ begin
      if to_regproc('pg_catalog.real_${clock}') is null then
        alter function pg_catalog.${clock}() rename to real_${clock};
      end if;
    end $$`,
    `create or replace function pg_catalog.${clock}() returns timestamptz language sql stable
      as $$ select ${expression} $$`,
  );
}
