/** What a backup is made of, in the order in which people are told of it. */
export const parts = ['outputs', 'logs', 'models', 'monitoring', 'redis', 'configuration'] as const;
export type Part = (typeof parts)[number];
