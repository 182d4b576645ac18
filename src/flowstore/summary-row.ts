// Reads a row that a summary's SQL gave.
import { type FlowSummaryQuery, type FlowSummaryRow, MEASURES, type Measure } from '#flows';
import { columnName, FLOW_COLUMNS } from './flow-columns.ts';

/** `row` by column name, numbers as number, bigint or text. */
export function summaryRow(
  row: Readonly<Record<string, unknown>>,
  { groupBy, each }: FlowSummaryQuery,
): FlowSummaryRow {
  const sums = MEASURES.map((it): [Measure, number] => [it, Number(row[`t_${columnName(it)}`])]);
  const group = groupBy.map((field, index) => {
    const column = columnName(field);
    const type = FLOW_COLUMNS.find(({ name }) => name === column)?.type;
    const value = row[`g${index}`];
    return type === 'integer' ? Number(value) : String(value);
  });
  return {
    time: Number(row['step']),
    group,
    ...(each && { item: String(row['item']) }),
    sums: Object.fromEntries(sums) as Record<Measure, number>,
  };
}
