// What `nft list table` says, object by object, and which objects have nothing to do with some others.

/** The text of each chain, set and map by its name; elements and rules of one line are in order. */
export function objectsOf(table: string): Map<string, string> {
  const blocks = table.matchAll(/^\t(?:chain|set|map) (\S+) \{\n([\s\S]*?)^\t\}/gm);
  return new Map([...blocks].map(([, name = '', text = '']) => [name, normal(text)]));
}

/**
 * Elements are listed in any order, over several lines. A chain's comment is that of whoever had it first: the kernel
 * cannot change it.
 */
function normal(text: string): string {
  const rules = text.replace(/^\t\tcomment .*\n/m, '');
  return rules.replaceAll(/elements = \{([^}]*)\}/g, (_, elements: string) => {
    const items = elements.split(',').map((item) => item.trim().replaceAll(/\s+/g, ' '));
    return `elements = { ${items.toSorted().join(', ')} }`;
  });
}

/** What packets of an interface meet, both ways: the elements that lead to its chains, and all behind them. */
export function wayOf(
  interfaceName: string,
  objects: ReadonlyMap<string, string>,
): Map<string, string> {
  const place = elementOf(objects.get('workloads'), `"${interfaceName}"`);
  const number = place?.split(' . ').at(-1) ?? '';
  const way = new Map([['workloads', place ?? '']]);
  for (const map of ['dispatch-ingress', 'dispatch-egress']) {
    way.set(map, elementOf(objects.get(map), number) ?? '');
  }
  const names = new Set([...way.values()].flatMap((text) => referencesIn(`${text}\n`)));
  for (const name of names) {
    const text = objects.get(name) ?? '';
    way.set(name, text);
    for (const one of referencesIn(text)) names.add(one);
  }
  return way;
}

function elementOf(map: string | undefined, key: string): string | undefined {
  const elements = /\{ (.*) \}/.exec(map ?? '')?.[1]?.split(', ');
  return elements?.find((element) => element.startsWith(`${key} :`));
}

function referencesIn(text: string): string[] {
  return [...text.matchAll(/(?:jump |goto |@)\s*(\S+?)[,\s}]/g)].map(([, name = '']) => name);
}

/** Those that neither are among the given ones, nor refer to any of them, over however many others. */
export function untouched(table: string, touched: ReadonlySet<string>): Map<string, string> {
  const objects = objectsOf(table);
  const names = new Map([...objects].map(([name, text]) => [name, new Set(referencesIn(text))]));
  const bad = new Set(touched);
  for (let grown = true; grown; ) {
    const more = [...names].filter(
      ([name, references]) => !bad.has(name) && [...references].some((one) => bad.has(one)),
    );
    for (const [name] of more) bad.add(name);
    grown = more.length > 0;
  }
  return new Map([...objects].filter(([name]) => !bad.has(name)));
}
