/** Something that the reader can mend: what is wrong and where, and what to do about it. It is shown without a stack. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly remedy?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'CommandError';
  }
}
