<!doctype html>
<html lang="en">
<meta charset="utf-8">
<?php if ($order->state === 'asking') { ?><meta http-equiv="refresh" content="3"><?php } ?>
<title>Order <?= htmlspecialchars($order->id) ?></title>
<h1><?= htmlspecialchars($order->article) ?>: <?= $yen($order->amount) ?></h1>
<p data-state="<?= $order->state ?>"><?= htmlspecialchars($order->text ?? 'Your payment is under way.') ?></p>
</html>
