import type { z } from 'zod';
import { crossCheck } from './checks';
import { type Fault, SettingsError } from './fault';
import { local } from './local';
import { production } from './production';
import { type EnvironmentName, environmentNames, type Settings, type SettingsInput, schema } from './schema';
import { staging } from './staging';

const inputs: Record<EnvironmentName, SettingsInput> = { local, staging, production };

const at = (input: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);

const dotted = (path: readonly PropertyKey[]): string => path.map(String).join('.') || '(settings)';

function remedy(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'int' ? 'give a whole number' : `give a value of type ${issue.expected}`;
    case 'invalid_value':
      return `use ${issue.values.map(value => JSON.stringify(value)).join(' or ')}`;
    case 'too_small':
      return `use ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `use ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_union':
      return 'use one of the forms that docs/settings.md names';
    default:
      return 'see docs/settings.md for what it takes';
  }
}

function toFaults(issue: z.core.$ZodIssue, input: unknown): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => {
      const path = [...issue.path, key];
      return { path: dotted(path), value: at(input, path), problem: 'no such setting', remedy: 'remove it, or look up its name in docs/settings.md' };
    });
  }
  const problem = issue.message.replace(/^Invalid input: /, '');
  return [{ path: dotted(issue.path), value: at(input, issue.path), problem, remedy: remedy(issue) }];
}

/** Strings that a template leaves for a person to fill in. */
function untouched(value: unknown, path: readonly string[] = []): Fault[] {
  if (typeof value === 'string' && /CHANGE_?ME/i.test(value)) {
    return [{ path: dotted(path), value, problem: 'a placeholder that nobody has filled in', remedy: 'give the real value' }];
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => untouched(child, [...path, key]));
}

/**
 * Checks settings as a whole.
 *
 * @throws SettingsError with every fault at once.
 */
export function parseSettings(input: SettingsInput): Settings {
  const environment = String((input as { environment?: unknown }).environment);
  const parsed = schema.safeParse(input);
  const faults = [
    ...untouched(input),
    ...(parsed.success ? crossCheck(parsed.data) : parsed.error.issues.flatMap(issue => toFaults(issue, input))),
  ];
  if (!parsed.success || faults.length > 0) throw new SettingsError(environment, faults);
  return parsed.data;
}

/** @throws SettingsError when the environment's file in config/ has a fault. */
export const loadSettings = (name: EnvironmentName): Settings => parseSettings(inputs[name]);

export { type Placeholder, placeholders } from './derive';
export { type Fault, SettingsError } from './fault';
export { type EnvironmentName, environmentNames, type Settings, type SettingsInput };
