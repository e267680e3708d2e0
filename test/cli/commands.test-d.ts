import { expectTypeOf, it } from 'vitest';
import { argument, defineCommand, flag, repeatable } from '../../src/commands/command.ts';
import { duration, version } from '../../src/commands/values.ts';

interface Options {
  readonly to?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly dryRun?: boolean | undefined;
  readonly environment?: 'dev' | 'production' | undefined;
  readonly only?: readonly string[] | undefined;
  readonly file: string;
}

const rest = { name: 'x', summary: 'x', examples: [], run: async () => {} } as const;

it('a command gets the values of its flags and arguments, by the names of the options', () => {
  defineCommand<Options & { readonly versions: readonly string[] }>()({
    ...rest,
    arguments: { versions: argument('[versions...]', 'some', version) },
    flags: {
      to: flag('--to <version>', 'a text'),
      timeoutMs: flag('--timeout <time>', 'a time', duration),
      dryRun: flag('--dry-run', 'a switch'),
      environment: flag('--env <name>', 'a choice', { choices: ['dev', 'production'] }),
      only: repeatable(flag('--only <name>', 'several')),
      file: flag('--out <file>', 'with a default', { default: 'a.ts' }),
    },
    run: async (given) => {
      expectTypeOf(given.to).toEqualTypeOf<string | undefined>();
      expectTypeOf(given.timeoutMs).toEqualTypeOf<number | undefined>();
      expectTypeOf(given.dryRun).toEqualTypeOf<true | undefined>();
      expectTypeOf(given.environment).toEqualTypeOf<'dev' | 'production' | undefined>();
      expectTypeOf(given.only).toEqualTypeOf<readonly string[] | undefined>();
      expectTypeOf(given.file).toEqualTypeOf<string>();
      expectTypeOf(given.versions).toEqualTypeOf<readonly string[]>();
    },
  });
});

it('a flag for an option that the library lacks does not compile', () => {
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: no option has this name
    flags: { until: flag('--until <version>', 'renamed in the library') },
  });
});

it('a shared flag for an option that the library lacks does not compile', () => {
  const shared = { until: flag('--until <version>', 'renamed in the library') };
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: no option has this name
    flags: { to: flag('--to <version>', 'known'), ...shared },
  });
});

it('an argument for an option that the library lacks does not compile', () => {
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: no option has this name
    arguments: { until: argument('<version>', 'renamed in the library') },
    flags: {},
  });
});

it('a value of another type than the option does not compile', () => {
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: the option is a number
    flags: { timeoutMs: flag('--timeout <time>', 'not read') },
  });
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: the option has no such value
    flags: { environment: flag('--env <name>', 'a choice', { choices: ['dev', 'staging'] }) },
  });
  defineCommand<Options>()({
    ...rest,
    // @ts-expect-error: the option is required, and the flag may be absent
    flags: { file: flag('--out <file>', 'without a default') },
  });
});

it('a conflict with a flag that the command lacks does not compile', () => {
  defineCommand<Options>()({
    ...rest,
    flags: { to: flag('--to <version>', 'known') },
    // @ts-expect-error: there is no such flag
    conflicts: [['to', 'steps']],
  });
});
