/** How one table is set, apart from its rules (OpenFlow 1.4.1 §6.5, §7.3.4.1). */
import type { Subfield } from "../../openflow/actions/types.ts";
import type { TableMod } from "../../openflow/messages/types.ts";
import type { MissSetting } from "./table-change.ts";

export type VacancyReason = "vacancy_down" | "vacancy_up";

export interface Vacancy {
  /** Percent free. */
  readonly down: number;
  readonly up: number;
  /** Which of the two is told next. */
  readonly next: VacancyReason;
}

export class TableSettings {
  miss: MissSetting = "default";
  /** A new rule in a full table takes the place of one that would expire anyway: by OpenFlow. */
  eviction = false;
  /** The same by `Flow_Table.overflow_policy`, with the fields by which rules are grouped. */
  evictionGroups: readonly Subfield[] | undefined;
  vacancy: Vacancy | undefined;

  constructor(public limit: number) {}

  get evicts(): boolean {
    return this.eviction || this.evictionGroups !== undefined;
  }

  /** Percent of the table that is free. */
  free(rules: number): number {
    if (this.limit === 0) return 100;
    return rules >= this.limit ? 0 : Math.floor((this.limit - rules) * 100 / this.limit);
  }

  /** What a table-mod says of vacancy events; the thresholds stay when they are switched off. */
  setVacancy({ vacancyEvents, vacancyDown, vacancyUp }: TableMod, rules: number): void {
    if (vacancyEvents === undefined) return;
    if (!vacancyEvents) {
      this.vacancy = undefined;
      return;
    }
    const down = vacancyDown ?? this.vacancy?.down ?? 0;
    const up = vacancyUp ?? this.vacancy?.up ?? 0;
    const first: VacancyReason = this.free(rules) < up ? "vacancy_up" : "vacancy_down";
    this.vacancy = { down, up, next: this.vacancy?.next ?? first };
  }

  /** The event that the number of rules causes; it is caused once. */
  vacancyEvent(rules: number): VacancyReason | undefined {
    const { vacancy } = this;
    if (!vacancy) return undefined;
    const free = this.free(rules);
    const event = free < vacancy.down
      ? "vacancy_down"
      : free > vacancy.up
      ? "vacancy_up"
      : undefined;
    if (event !== vacancy.next) return undefined;
    this.vacancy = { ...vacancy, next: event === "vacancy_down" ? "vacancy_up" : "vacancy_down" };
    return event;
  }
}
