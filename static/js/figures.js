// Numbers as people read them, as research_app/evidence/digits.py writes them: no exponents in the ordinary range.
const [SMALL, LARGE] = [1e-6, 1e9]; // the ordinary range: outside of it a power of ten reads better
const RAISED = Object.fromEntries([..."-0123456789"].map((each, i) => [each, [..."⁻⁰¹²³⁴⁵⁶⁷⁸⁹"][i]]));

const stripped = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

// With so many significant digits; an en dash for none.
export const number = (value, digits = 5) => {
  if (value === null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const decimals = digits - 1 - Number(exponent);
  let text;
  if (Math.abs(value) < SMALL || Math.abs(value) >= LARGE) text = `${stripped(mantissa)}×10${[...exponent.replace("+", "")].map((each) => RAISED[each]).join("")}`;
  else {
    text = stripped(value.toFixed(Math.max(decimals, 0)));
    if (Math.abs(value) >= 10_000) text = text.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));
  }
  return text.replace("-", "−");
};

// A value as exact as half the width of its interval allows: `1.631` and `0.012`; that half has two significant digits.
export const within = (value, half) => {
  const ordinary = [value, half].every((each) => Number.isFinite(each) && Math.abs(each) < 10_000) && half >= SMALL;
  if (!ordinary) return [number(value), number(half, 2)];
  const decimals = Math.max(0, 1 - Math.floor(Math.log10(half)));
  return [value, half].map((each) => each.toFixed(decimals).replace("-", "−"));
};

// How an axis writes its numbers: in full, unless they lie far out.
export const exponents = (values) => {
  const sizes = values.map(Math.abs).filter((each) => each > 0 && Number.isFinite(each));
  const most = Math.max(...sizes, 0);
  return sizes.length && (most < SMALL || most >= LARGE) ? "e" : "none";
};
