<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Order <?= htmlspecialchars($order->id) ?></title>
<h1><?= htmlspecialchars($order->article) ?>: <?= $yen($order->amount) ?></h1>
<?php if ($order->text !== null) { ?><p data-state="<?= $order->state ?>"><?= htmlspecialchars($order->text) ?></p><?php } ?>
<!-- The card's fields have no names, so that no browser ever sends them. -->
<form method="post" id="pay">
  <label>Card number <input id="number" inputmode="numeric" autocomplete="cc-number" required></label>
  <label>Expires <input id="expires" placeholder="MM/YY" autocomplete="cc-exp" required pattern="\d\d/\d\d"></label>
  <label>Security code <input id="security_code" inputmode="numeric" autocomplete="cc-csc" required></label>
  <input type="hidden" name="contract_id" value="<?= htmlspecialchars($contractId) ?>">
  <input type="hidden" name="envelope">
  <button disabled>Pay <?= $yen($order->amount) ?></button>
  <p id="wrong" role="alert"></p>
</form>
<script type="application/json" id="to-seal"><?= json_encode($toSeal, JSON_HEX_TAG | JSON_THROW_ON_ERROR) ?></script>
<script type="module" src="/pay.js"></script>
</html>
