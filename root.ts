/** The folder of the project. Other sources do not ask for their own folder: bundled (scripts/run.js), they have none. */
export const ROOT = __dirname;
