// Splits a byte stream into JSON values, one a line, with a bound on the length of a line.

/** Longest line accepted: an object of 3 MiB and its envelope fit well. */
const MAX_LINE = 16 * 1024 * 1024;

/** Parses each line of `chunks`. A last line without its end is a cut stream and is dropped. */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new Error(`a line of the stream is over ${MAX_LINE} bytes`);
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line);
  }
}
