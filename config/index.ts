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

const quoted = (values: readonly unknown[]): string => values.map(value => JSON.stringify(value)).join(' or ');

/** What is wrong and what to do. The schema's own messages say both, with a colon between. */
function explain(issue: z.core.$ZodIssue): Pick<Fault, 'problem' | 'remedy'> {
  const problem = issue.message.replace(/^Invalid input: /, '');
  if ('options' in issue) return { problem: 'not a known value', remedy: `use ${quoted(issue.options ?? [])}` };
  switch (issue.code) {
    case 'invalid_type':
      return { problem, remedy: issue.expected === 'int' ? 'give a whole number' : `give a value of type ${issue.expected}` };
    case 'invalid_value':
      return { problem: 'not a known value', remedy: `use ${quoted(issue.values)}` };
    case 'too_small':
      return { problem: 'too small', remedy: `use ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}` };
    case 'too_big':
      return { problem: 'too big', remedy: `use ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}` };
    case 'invalid_key':
      return issue.issues[0] ? explain(issue.issues[0]) : { problem, remedy: 'use another name' };
    default: {
      const [wrong = problem, advice = 'see docs/settings.md for what it takes'] = problem.split(/: (.*)/s);
      return { problem: wrong, remedy: advice };
    }
  }
}

function toFaults(issue: z.core.$ZodIssue, input: unknown): Fault[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => {
      const path = [...issue.path, key];
      return {
        path: dotted(path),
        value: at(input, path),
        problem: 'no such setting',
        remedy: 'remove it, or look up its name in docs/settings.md',
      };
    });
  }
  return [{ path: dotted(issue.path), value: at(input, issue.path), ...explain(issue) }];
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
  if (!parsed.success || faults.length > 0) throw new SettingsError({ [environment]: faults });
  return parsed.data;
}

/** @throws SettingsError when the environment's file in config/ has a fault. */
export const loadSettings = (name: EnvironmentName): Settings => parseSettings(inputs[name]);

/** @throws SettingsError with the faults of all environments. */
export function loadAllSettings(): Settings[] {
  const faults: Record<string, readonly Fault[]> = {};
  const all = environmentNames.flatMap(name => {
    try {
      return loadSettings(name);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      Object.assign(faults, error.faults);
      return [];
    }
  });
  if (Object.keys(faults).length > 0) throw new SettingsError(faults);
  return all;
}

export { placeholders, type Remark, remarks } from './derive';
export { type Fault, SettingsError } from './fault';
export { type EnvironmentName, environmentNames, type Settings, type SettingsInput };
