// Settings of a queue as a form holds them.
export const BY_AGREEMENT = "by agreement";

/** The numbers that are filled in; what is left empty stays as it is. */
export function numbersOf(form, data) {
  const names = [...form.querySelectorAll("input[type=number]")].map((one) => one.name);
  return Object.fromEntries(names.filter((name) => data.get(name) !== "").map((name) => [name, Number(data.get(name))]));
}

/** How much of a machine's work people see: a number that is asked for where it is one. */
export const auditOf = (data) => (data.get("audited") === BY_AGREEMENT ? { audit: BY_AGREEMENT } : {});

export function followAudit(form) {
  const { audited, audit } = form.elements;
  const show = () => {
    audit.closest("label").hidden = audited.value === BY_AGREEMENT;
    if (audit.value === "") audit.value = 1;
  };
  audited.addEventListener("change", show);
  show();
}
