local t = require "flowrun.test"
local frame = require "flowrun.frame"
local ml = require "flowrun.ml"
local describe, it, expect = t.describe, t.it, t.expect

local want = dofile("tests/fixtures/models.txt")
local m = want.metrics
local p3 = frame.from{{"a", want.p3[1]}, {"b", want.p3[2]}, {"c", want.p3[3]}}

local function near(got, expected, tolerance)
  expect(#got).to_be(#expected)
  for i = 1, #expected do
    if expected[i] == math.huge then
      expect(got[i]).to_be(math.huge)
    else
      expect(got[i]).to_be_near(expected[i], tolerance)
    end
  end
end

describe("metrics of two classes", function()
  it("are scikit-learn's curves", function()
    local roc = ml.roc_curve(want.binary, want.score)
    near(roc.fpr, m.roc[1], 1e-14)
    near(roc.tpr, m.roc[2], 1e-14)
    near(roc.threshold, m.roc[3], 0)
    local pr = ml.precision_recall_curve(want.binary, want.score)
    near(pr.precision, m.pr[1], 1e-14)
    near(pr.recall, m.pr[2], 1e-14)
    near(pr:head(#pr - 1).threshold, m.pr[3], 0)
    local c = ml.calibration_curve(want.binary, want.score, {n_bins = 5})
    near(c.observed, m.calibration[1], 1e-14)
    near(c.predicted, m.calibration[2], 1e-14)
    local q = ml.calibration_curve(want.binary, want.score, {strategy = "quantile"})
    near(q.observed, m.calibration_quantile[1], 1e-14)
    near(q.predicted, m.calibration_quantile[2], 1e-14)
  end)

  it("are scikit-learn's numbers", function()
    expect(ml.average_precision(want.binary, want.score)).to_be_near(m.average_precision, 1e-13)
    expect(ml.brier(want.binary, want.score)).to_be_near(m.brier, 1e-13)
    expect(ml.mcc(want.binary, want.hard)).to_be_near(m.mcc2, 1e-13)
    expect(ml.kappa(want.binary, want.hard, {weights = "linear"})).to_be_near(m.kappa_linear, 1e-13)
    expect(ml.fbeta(want.binary, want.hard, 2)).to_be_near(m.f2, 1e-13)
    expect(ml.jaccard(want.binary, want.hard)).to_be_near(m.jaccard, 1e-13)
  end)

  it("integrate to the area", function()
    local roc, area = ml.roc_curve(want.binary, want.score), 0
    for i = 2, #roc do
      area = area + (roc.fpr[i] - roc.fpr[i - 1]) * (roc.tpr[i] + roc.tpr[i - 1]) / 2
    end
    expect(area).to_be_near(ml.roc_auc(want.binary, want.score), 1e-13)
  end)
end)

describe("metrics of many classes", function()
  it("are scikit-learn's numbers", function()
    expect(ml.mcc(want.kind, want.k3)).to_be_near(m.mcc, 1e-13)
    expect(ml.kappa(want.kind, want.k3)).to_be_near(m.kappa, 1e-13)
    expect(ml.balanced_accuracy(want.kind, want.k3)).to_be_near(m.balanced_accuracy, 1e-13)
    expect(ml.hamming(want.kind, want.k3)).to_be_near(m.hamming, 1e-13)
    expect(ml.log_loss(want.kind, p3)).to_be_near(m.log_loss, 1e-13)
    expect(ml.roc_auc(want.kind, p3)).to_be_near(m.auc_ovr, 1e-13)
    expect(ml.top_k(want.kind, p3, 1)).to_be_near(m.top1, 1e-13)
    expect(ml.top_k(want.kind, p3)).to_be_near(m.top2, 1e-13)
  end)
end)

describe("metrics of numbers", function()
  it("are scikit-learn's", function()
    local reversed = {}
    for i = #want.count, 1, -1 do reversed[#reversed + 1] = want.count[i] end
    expect(ml.median_ae(want.y, want.number)).to_be_near(m.median_ae, 1e-13)
    expect(ml.max_error(want.y, want.number)).to_be_near(m.max_error, 1e-13)
    expect(ml.explained_variance(want.y, want.number)).to_be_near(m.explained_variance, 1e-13)
    expect(ml.msle(want.count, reversed)).to_be_near(m.msle, 1e-13)
    expect(ml.pinball(want.y, want.number, 0.9)).to_be_near(m.pinball, 1e-13)
    local mean = {}
    for i = 1, #want.count do mean[i] = math.exp(0.1 * want.x[1][i]) end
    expect(ml.poisson_deviance(want.count, mean)).to_be_near(m.poisson_deviance, 1e-12)
  end)

  it("say what is wrong", function()
    expect(function() ml.roc_curve({1, 1}, {0.1, 0.2}) end).to_fail("1 classes, two are needed")
    expect(function() ml.roc_curve({1, 0}, {0.1}) end).to_fail("2 true classes, but 1 scores")
    expect(function() ml.mcc({1}, nil) end).to_fail("the predictions is missing")
    expect(function() ml.kappa({1, 0}, {1, 0}, {weights = "cubic"}) end).to_fail("linear, quadratic")
    expect(function() ml.top_k({"d"}, p3:head(1)) end).to_fail("class d, and no column")
    expect(function() ml.pinball({1}, {1}, 2) end).to_fail("from 0 to 1")
    expect(function() ml.calibration_curve({1, 0}, {0.5, 1.5}) end).to_fail("row 2")
    expect(function() ml.poisson_deviance({1}, {0}) end).to_fail("row 1 has count 1 and mean 0")
    expect(function() ml.max_error({1, 2}, {1}) end).to_fail("2 true values, but 1")
  end)
end)
