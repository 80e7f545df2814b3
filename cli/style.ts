import { styleText } from 'node:util';

/** Colours and weight for a terminal that shows them, and for a reader who wants them: https://no-color.org. */
export const style = (format: Parameters<typeof styleText>[0], text: string): string =>
  process.stdout.isTTY && !process.env.NO_COLOR ? styleText(format, text) : text;
