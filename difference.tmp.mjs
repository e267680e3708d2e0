// src/runtime/order.ts
function compareText(a, b) {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

// src/schema/snapshot/snapshot.ts
var objectKinds = [
  "database",
  "extension",
  "schema",
  "type",
  "sequence",
  "function",
  "table",
  "view",
  "job",
  "publication",
  "event trigger"
];

// src/schema/snapshot/difference.ts
function compareSnapshots(before, after) {
  return objectKinds.flatMap((kind) => {
    const ofKind = ({ objects }) => objects.filter((object) => object.kind === kind);
    return pair(ofKind(before), ofKind(after)).flatMap(
      ([old, now]) => {
        if (!old || !now) {
          const { name } = old ?? now;
          return [{ change: old ? "removed" : "added", kind, name }];
        }
        const facts = [...compareFacts(old.facts, now.facts), ...compareColumnOrder(old, now)];
        const parts = compareParts(old.parts, now.parts);
        if (facts.length === 0 && parts.length === 0) return [];
        return [{ change: "changed", kind, name: old.name, facts, parts }];
      }
    );
  });
}
function compareParts(before, after) {
  const kinds = [...new Set([...before, ...after].map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const ofKind = (parts) => parts.filter((part) => part.kind === kind);
    return pair(ofKind(before), ofKind(after)).flatMap(([old, now]) => {
      if (!old || !now) {
        const part = old ?? now;
        const summary = summaryOf(part);
        return [{ change: old ? "removed" : "added", kind, name: part.name, summary }];
      }
      const facts = compareFacts(old.facts, now.facts);
      return facts.length === 0 ? [] : [{ change: "changed", kind, name: old.name, facts }];
    });
  });
}
function pair(before, after) {
  const old = new Map(before.map((each) => [each.name, each]));
  const now = new Map(after.map((each) => [each.name, each]));
  const names = [.../* @__PURE__ */ new Set([...old.keys(), ...now.keys()])].sort(compareText);
  return names.map((name) => [old.get(name), now.get(name)]);
}
function compareFacts(before, after) {
  const names = [.../* @__PURE__ */ new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap(
    (fact) => isSame(before[fact], after[fact]) ? [] : [{ fact, before: before[fact], after: after[fact] }]
  );
}
function isSame(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
function compareColumnOrder(before, after) {
  const namesOf = ({ parts }) => parts.filter(({ kind }) => kind === "column").map(({ name }) => name);
  const [old, now] = [namesOf(before), namesOf(after)];
  const [oldOrder, newOrder] = [
    old.filter((name) => now.includes(name)),
    now.filter((name) => old.includes(name))
  ];
  return isSame(oldOrder, newOrder) ? [] : [{ fact: "order of columns", before: oldOrder, after: newOrder }];
}
function summaryOf({ facts }) {
  if (typeof facts.definition === "string") return facts.definition;
  return Object.entries(facts).filter(([fact]) => fact !== "comment").map(([fact, value]) => {
    if (fact === "type") return String(value);
    return value === true ? fact : `${fact} ${printFact(value)}`;
  }).join(", ");
}
function printFact(fact) {
  return typeof fact === "object" ? fact.join(", ") : String(fact);
}
export {
  compareSnapshots,
  printFact
};
