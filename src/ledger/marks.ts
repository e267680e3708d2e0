/** The marks of a database. */
export const environments = ['dev', 'test', 'staging', 'production'] as const;
export type Environment = (typeof environments)[number];
