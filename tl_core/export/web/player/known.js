// "None of these": too far from every training photo, or no class probable enough.

const NUM_NEIGHBOURS = 3;

/**
 * Return {distance, probability, reasons} of one photo; no reasons where it is accepted.
 *
 * Args:
 *   known: {anchors: Int8Array (count x dim), scales: Float32Array, count, dim, maxDistance,
 *     minProbability}; anchors times scales are rows of length 1.
 *   features: of the photo; of a flattened feature map the mean over its places counts.
 *   probabilities: calibrated, in class order.
 */
export function judge(known, features, probabilities, classNames) {
  const best = probabilities.reduce((a, b, i) => (b > probabilities[a] ? i : a), 0);
  const probability = probabilities[best];
  if (!known) return { distance: null, probability, reasons: [] };
  const distance = distanceToNearest(known, features);
  const reasons = [];
  if (distance > known.maxDistance) {
    const [is, needed] = [1 - distance, 1 - known.maxDistance].map((value) => value.toFixed(2));
    reasons.push(`Too different from the training photos (similarity ${is}, needs ${needed}).`);
  }
  if (probability < known.minProbability) {
    const [is, needed] = [probability, known.minProbability].map((p) => `${(100 * p).toFixed(1)} %`);
    reasons.push(`No class is probable enough: ${classNames[best]} has ${is}, needs ${needed}.`);
  }
  return { distance, probability, reasons };
}

/** Return 1 less the mean cosine to the nearest few training photos. */
export function distanceToNearest({ anchors, scales, count, dim }, features) {
  const unit = unitRow(features, dim);
  const num = Math.min(NUM_NEIGHBOURS, count);
  const nearest = new Float64Array(num).fill(-2);
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let i = 0, at = row * dim; i < dim; i++, at++) sum += unit[i] * anchors[at];
    const cosine = sum * scales[row];
    if (cosine > nearest[0]) {
      nearest[0] = cosine;
      nearest.sort();
    }
  }
  return 1 - nearest.reduce((a, b) => a + b, 0) / num;
}

function unitRow(features, dim) {
  const row = new Float64Array(dim);
  for (let i = 0; i < features.length; i++) row[i % dim] += features[i];
  const length = Math.max(Math.hypot(...row), 1e-12);
  return row.map((value) => value / length);
}
