// The door of cli: the command line.
export { type ProgramPlace, createProgram, runProgram } from './program.ts';
export { processTerminal, type Terminal } from './terminal.ts';
