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

/** What an interrupt left behind, where a command has more to say of that than that each change was made in full or not at all. */
export class Interrupted extends CommandError {}
